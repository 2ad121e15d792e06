import { get, jobAPI, Problem } from "../api";
import { follow, type Frame } from "../sse";
import type { Job } from "../types";
import type { Log } from "./log";

/** What happened to the stream besides events. */
export interface Notices {
  gone?: string; // there is no such job, or not any more
  stalled?: boolean;
}

/** From how many events on the newest are fetched first. */
const long = 1500;
const tailSize = 200;

/** More events than a page should hold: then the newest of them are shown. */
export const most = 250_000;
const part = 50_000;

interface History {
  events: { id: string; event_type: string; timestamp: string }[];
  last_id: string;
  has_more: boolean;
  incarnation: string;
}

/**
 * load fills the log and keeps it up to date until the signal ends: of a long log the
 * newest events first, so that there is something to see at once.
 */
export async function load(job: Job, log: Log, all: boolean, notice: (n: Notices) => void, signal: AbortSignal): Promise<void> {
  let after = "";
  if (job.events > most && !all) after = await startOfPart(job, log, signal);
  else if (job.events > long) await showTail(job, log, signal);
  await follow(jobAPI(job.id, "/events"), after, (frames) => take(frames, log, notice), signal);
}

async function showTail(job: Job, log: Log, signal: AbortSignal): Promise<void> {
  const history = await get<History>(jobAPI(job.id, `/events?order=desc&limit=${tailSize}`), signal);
  log.preview(history.events.reverse(), job.events);
}

/** startOfPart finds the cursor behind which the newest part of the log is. */
async function startOfPart(job: Job, log: Log, signal: AbortSignal): Promise<string> {
  let before = "";
  let incarnation = "";
  for (let got = 0; got < part; ) {
    const history = await get<History>(jobAPI(job.id, `/events?order=desc&limit=10000${before}`), signal);
    got += history.events.length;
    before = "&before=" + history.last_id;
    incarnation = history.incarnation;
    if (!history.has_more) return "";
  }
  log.missing = "too many";
  return before.slice("&before=".length) + (incarnation ? "~" + incarnation : "");
}

function take(frames: Frame[], log: Log, notice: (n: Notices) => void): boolean {
  let from = 0;
  let over = false;
  frames.forEach((f, i) => {
    if (f.id) return;
    log.add(frames.slice(from, i));
    from = i + 1;
    over = control(f, log, notice) || over;
  });
  if (from < frames.length) log.add(frames.slice(from));
  return over;
}

/** control deals with what is no event of the job. True: nothing comes any more. */
function control(f: Frame, log: Log, notice: (n: Notices) => void): boolean {
  switch (f.event) {
    case "end":
      log.ended = true;
      log.expected = log.rows.length;
      log.changed();
      return true;
    case "gap":
      log.missing = "trimmed";
      log.expected = 0;
      log.changed();
      return false;
    case "rewound":
      log.reset();
      return false;
    case "deleted":
      notice({ gone: "This job was deleted." });
      return true;
    case "stalled":
      notice({ stalled: true });
      return false;
    case "resumed":
      notice({ stalled: false });
  }
  return false;
}

/** whyGone says what is the matter with a job that can't be shown. */
export function whyGone(error: unknown): string {
  if (error instanceof Problem && error.status === 404) return "There is no job of this ID. It begins with its first event.";
  return error instanceof Error ? error.message : String(error);
}
