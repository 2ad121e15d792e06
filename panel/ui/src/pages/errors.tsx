import { useState } from "preact/hooks";
import { change, get, says } from "../api";
import { readOnly } from "../base";
import { useFeed } from "../feed";
import { ago, count, fullTime } from "../format";
import { useLoad, useNow } from "../hooks";
import { Empty, Failure } from "../parts";
import { jobPath, Link, route, setQuery } from "../router";
import type { ErrorGroup } from "../types";

const states = ["open", "resolved", "ignored"] as const;

/** Errors are what failed, grouped by what they have in common. */
export function Errors() {
  const asked = route.value.query.get("state") ?? "open";
  const state = (states as readonly string[]).includes(asked) ? asked : "open";
  const name = route.value.query.get("name") ?? "";
  const q = new URLSearchParams({ state, limit: "500", ...(name ? { name } : {}) });
  const { value, error, reload } = useLoad((signal) => get<{ errors: ErrorGroup[]; total: number }>("v1/errors?" + q, signal), [q.toString()], 15_000);
  useFeed(() => reload(), 2000);
  return (
    <div class="page scrolls" tabIndex={-1}>
      <div class="bar">
        <h1>Errors</h1>
        <span class="dim" data-count>{value ? count(value.total ?? value.errors.length) : ""}</span>
        <span class="grow" />
        {name && <button class="small" onClick={() => setQuery({ name: "" })}>{name} ×</button>}
        <div class="segments" role="group" aria-label="State">
          {states.map((s) => (
            <button key={s} class="small" aria-pressed={s === state} onClick={() => setQuery({ state: s === "open" ? "" : s })}>{s}</button>
          ))}
        </div>
      </div>
      <Failure error={error} retry={reload} />
      {value && value.errors.length === 0 && <Empty>{state === "open" ? "No open errors." : `No error is ${state}.`}</Empty>}
      {value && value.errors.length > 0 && <div class="card stack">{value.errors.map((g) => <Group key={g.id} group={g} changed={reload} />)}</div>}
    </div>
  );
}

function Group({ group: g, changed }: { group: ErrorGroup; changed: () => void }) {
  const now = useNow(5000);
  const [open, setOpen] = useState(false);
  const [failed, setFailed] = useState("");
  const set = async (state: string) => {
    try {
      await change("PATCH", "v1/errors/" + encodeURIComponent(g.id), { state });
      setFailed("");
      changed();
    } catch (e) {
      setFailed(says(e));
    }
  };
  return (
    <article class="error" data-error={g.id}>
      <div class="error-head">
        <button class="quiet error-open" aria-expanded={open} onClick={() => setOpen(!open)}>
          <span class="error-title">
            <b>{g.kind || "error"}</b>
            <span>{g.name || "(no name)"}</span>
            {g.tool && <span class="tag">{g.tool}</span>}
            {g.reopened && g.state === "open" && <span class="tag bad">came back</span>}
          </span>
          <span class="error-text">{g.message}</span>
          <span class="dim">
            first {ago(g.first_seen, now)} · last {ago(g.last_seen, now)}
            {g.fatal > 0 && ` · failed ${count(g.fatal)} ${g.fatal === 1 ? "job" : "jobs"}`}
          </span>
        </button>
        <Spark hours={g.hours} />
        <span class="error-count num" title={`${g.count} times`}>{count(g.count)}</span>
        {!readOnly && (
          <span class="bar">
            {g.state === "open" ? (
              <>
                <button class="small" onClick={() => set("resolved")}>Resolve</button>
                <button class="small" onClick={() => set("ignored")}>Ignore</button>
              </>
            ) : (
              <button class="small" onClick={() => set("open")}>Open again</button>
            )}
          </span>
        )}
      </div>
      <Failure error={failed} />
      {open && (
        <div class="error-more">
          <p class="mono">{g.sample}</p>
          <p class="dim">
            {fullTime(g.first_seen)} to {fullTime(g.last_seen)}
            {g.changed_by && ` · ${g.state} by ${g.changed_by}`}
          </p>
          <ul>
            {g.jobs.map((j) => (
              <li key={j.job_id + j.event_id}>
                <Link to={jobPath(j.job_id)} query={{ event: j.event_id }} class="mono">{j.job_id}</Link>
              </li>
            ))}
          </ul>
        </div>
      )}
    </article>
  );
}

/** Spark is how often it came in each of the last 24 hours. */
function Spark({ hours }: { hours: number[] }) {
  const max = Math.max(1, ...hours);
  const width = 4;
  return (
    <svg class="spark" viewBox={`0 0 ${hours.length * width} 24`} width={hours.length * width} height="24" role="img"
      aria-label={`In the last 24 hours: ${hours.reduce((a, b) => a + b, 0)} times`}>
      {hours.map((n, i) => {
        const h = n === 0 ? 1 : 3 + (n / max) * 21;
        return <rect key={i} x={i * width} y={24 - h} width={width - 1} height={h} class={n === 0 ? "none" : ""} />;
      })}
    </svg>
  );
}
