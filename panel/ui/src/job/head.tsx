import { useRef, useState } from "preact/hooks";
import { change, headers, jobAPI, says } from "../api";
import { at, readOnly } from "../base";
import { clock, count, duration, fullTime, short } from "../format";
import { useNow } from "../hooks";
import { Icon } from "../icons";
import { Copy, Label, StatusDot } from "../parts";
import { href, jobPath, Link } from "../router";
import { ended, type Job, type Money, type Stuck } from "../types";
import type { Log } from "./log";

type Props = { job: Job; stuck?: Stuck; stalled?: boolean; log: Log; version: number; changed: () => void };

/** Head says what the job is and how it stands. */
export function Head({ job, stuck, stalled, log, version, changed }: Props) {
  const over = ended(job.status);
  const still = !over && (stalled ?? job.stalled);
  return (
    <header class="jobhead">
      <div class="bar">
        <Link to="jobs" class="dim back">Jobs</Link>
        <Icon name="right" />
        <h1 title={job.id}>{job.name || job.id}</h1>
        <StatusDot status={job.status} stalled={still} />
        <span class="grow" />
        <Copy text={() => new URL(href(jobPath(job.id)), location.href).href} what="a link to this job" short />
        <Download job={job} />
        {!over && !readOnly && <Stop job={job} changed={changed} />}
      </div>
      <div class="facts">
        {job.name && <span class="mono id">{job.id} <Copy text={() => job.id} what="the job's ID" short /></span>}
        {Object.entries(job.labels ?? {}).map(([k, v]) => <Label key={k} name={k} value={v} />)}
      </div>
      <Figures job={job} log={log} version={version} />
      {job.error && <p class="failure joberror">{job.error}</p>}
      {job.cancel && !over && <p class="notice">Asked to stop{job.cancel.by ? ` by ${job.cancel.by}` : ""}{job.cancel.reason ? `: ${job.cancel.reason}` : ""}. It stops when its worker does.</p>}
      {stuck && !over && <p class={"stuck" + (stuck.stalled || stuck.overdue ? " bad" : "")} data-stuck><b>{stuck.stalled ? "No sign of life" : stuck.overdue ? "Overdue" : "Now"}</b> {stuck.says}</p>}
      {!over && job.progress !== undefined && <progress class="wide" value={job.progress} max={1} aria-label="Progress of the job" />}
    </header>
  );
}

function Figures({ job, log }: { job: Job; log: Log; version: number }) {
  const over = ended(job.status);
  const now = useNow(over ? 60_000 : 1000);
  const from = Date.parse(job.created_at);
  const to = over ? Date.parse(job.ended_at ?? job.updated_at) : now;
  const tools = log.types.get("tool_call") ?? 0;
  const retries = log.types.get("task_retried") ?? 0;
  const figures: [string, string, string?][] = [
    [over ? "Took" : "Elapsed", over ? duration(to - from) : clock(to - from), fullTime(from)],
    ["Tokens", job.usage ? `${short(job.usage.input_tokens)} in · ${short(job.usage.output_tokens)} out` : "–", job.usage && `${count(job.usage.input_tokens)} in, ${count(job.usage.output_tokens)} out`],
    ["Cost", money(job.cost)],
    ["Events", count(job.events)],
    ["Tool calls", count(tools)],
    ["Phase", job.phase && job.phase !== "job" ? job.phase : "–"],
    ["Worker", job.task?.worker ?? "–", job.task?.queue && `queue ${job.task.queue}`],
    ["Attempt", job.task?.attempt ? String(job.task.attempt) : retries ? String(retries + 1) : "–", retries ? `retried ${retries} times` : undefined],
  ];
  return (
    <dl class="figures">
      {figures.filter(([, v]) => v !== "–").map(([k, v, title]) => (
        <div key={k} title={title}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
}

export function money(cost: Job["cost"]): string {
  if (!cost) return "–";
  const list: Money[] = Array.isArray(cost) ? cost : [cost];
  return list.map((c) => `${c.amount < 0.01 ? c.amount.toPrecision(2) : c.amount.toFixed(2)} ${c.currency}`).join(" + ");
}

/** Download saves the whole log, as it is now. */
function Download({ job }: { job: Job }) {
  const [state, set] = useState("");
  const save = async () => {
    set("…");
    try {
      const response = await fetch(at(jobAPI(job.id, "/events")), { headers: headers({ Accept: "application/x-ndjson" }) });
      if (!response.ok) throw new Error((await response.json()).detail);
      const url = URL.createObjectURL(await response.blob());
      const a = document.createElement("a");
      a.href = url;
      a.download = job.id.replace(/[^\w.-]+/g, "_") + ".ndjson";
      a.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      set("");
    } catch (e) {
      set(says(e));
    }
  };
  return (
    <button class="small" onClick={save} title="Download all events as NDJSON" aria-label="Download all events as NDJSON">
      <Icon name="down" /> <span>{state || "NDJSON"}</span>
    </button>
  );
}

/** Stop asks before it asks the job. */
function Stop({ job, changed }: { job: Job; changed: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  const [terminate, setTerminate] = useState(false);
  const [error, setError] = useState("");
  const [warning, setWarning] = useState("");
  const stop = async (e: Event) => {
    e.preventDefault();
    setError("");
    try {
      const answer = await change<{ stop?: { workers: number; warning?: string } }>("POST", jobAPI(job.id, "/cancel"), { reason: reason || undefined, terminate });
      setWarning(answer?.stop?.warning ?? "");
      if (!answer?.stop?.warning) dialog.current?.close();
      changed();
    } catch (e) {
      setError(says(e));
    }
  };
  return (
    <>
      <button class="small danger" onClick={() => dialog.current?.showModal()} data-stop>
        <Icon name="stop" /> {job.status === "cancelling" ? "Stop again" : "Stop"}
      </button>
      <dialog ref={dialog} aria-labelledby="stop-title">
        <form onSubmit={stop}>
          <h2 id="stop-title">Stop {job.name || job.id}?</h2>
          <p>The job is asked to stop. It stops when its worker hears of it; its events stay.</p>
          <label class="field">
            <span>Reason</span>
            <input name="reason" value={reason} onInput={(e) => setReason(e.currentTarget.value)} placeholder="optional, told in the log" />
          </label>
          <label class="check">
            <input type="checkbox" name="terminate" checked={terminate} onChange={(e) => setTerminate(e.currentTarget.checked)} />
            Terminate the process that runs it, if its task queue can
          </label>
          {error && <p class="failure" role="alert">{error}</p>}
          {warning && <p class="notice" role="alert">{warning}</p>}
          <div class="bar">
            <span class="grow" />
            <button type="button" onClick={() => dialog.current?.close()}>{warning ? "Close" : "Let it run"}</button>
            <button type="submit" class="primary danger" data-confirm-stop>Stop the job</button>
          </div>
        </form>
      </dialog>
    </>
  );
}
