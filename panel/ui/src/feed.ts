import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { says } from "./api";
import { follow, type Frame } from "./sse";

/** How many alerts fire, as the page that knows last said. */
export const firing = signal(0);

/** The types that change what a list of jobs shows. Deltas, most of a feed, are not among them. */
const types = [
  "phase_update", "error", "done", "cancelled", "cancel_requested", "task_queued", "task_started", "task_progress",
  "task_retried", "task_completed", "task_failed", "tool_call", "tool_result",
].join(",");

/**
 * useFeed calls changed with the IDs of jobs of which something was told, at most
 * once in `every` milliseconds. Empty: it has come back and anything may have
 * changed. While the page is hidden, the connection is given back.
 */
export function useFeed(changed: (jobs: Set<string>) => void, every = 1000): void {
  const call = useRef(changed);
  call.current = changed;
  useEffect(() => {
    let jobs = new Set<string>();
    let timer = 0;
    const fire = () => {
      timer = 0;
      const some = jobs;
      jobs = new Set();
      call.current(some);
    };
    let first = true;
    const take = (frames: Frame[]) => {
      if (frames.length === 0) {
        if (!first) call.current(new Set());
        first = false;
        return;
      }
      for (const f of frames) jobs.add(jobOf(f));
      timer ||= window.setTimeout(fire, every);
    };
    const stop = whileVisible((signal) => follow("v1/events?after=latest&type=" + types, "", take, signal));
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, []);
}

function jobOf(f: Frame): string {
  const id = /"job_id":"((?:[^"\\]|\\.)*)"/.exec(f.data);
  return id ? JSON.parse(`"${id[1]}"`) : "";
}

const patience = 10_000;

/** whileVisible runs it, and stops it while the page has been hidden for a while: browsers allow few connections. */
export function whileVisible(run: (signal: AbortSignal) => Promise<void>): () => void {
  let stop: AbortController | undefined;
  let timer = 0;
  const start = () => {
    stop = new AbortController();
    run(stop.signal).catch((error) => console.debug(says(error)));
  };
  const change = () => {
    clearTimeout(timer);
    if (document.hidden) timer = window.setTimeout(() => (stop?.abort(), (stop = undefined)), patience);
    else if (!stop) start();
  };
  document.addEventListener("visibilitychange", change);
  start();
  return () => {
    document.removeEventListener("visibilitychange", change);
    clearTimeout(timer);
    stop?.abort();
  };
}
