import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, oneLine, short } from "../format";
import { useNow } from "../hooks";
import { setQuery } from "../router";
import { ended, type Job, type Stuck } from "../types";
import { VirtualList, type ListHandle } from "../virtual";
import type { Alert } from "../pages/alertdata";
import { dataOf, type Log } from "./log";
import { flatten, type Mark, type Run } from "./runs";

const rowHeight = 24;
const mostRows = 11;

/** Timeline draws the tree of runs over time. Open runs grow. */
export function Timeline({ log, version, job, stuck, alerts }: { log: Log; version: number; job: Job; stuck?: Stuck; alerts: Alert[] }) {
  const over = ended(job.status) || log.ended;
  const now = useNow(over ? 60_000 : 500);
  const [folded, setFolded] = useState<Set<string>>(() => new Set());
  const [tall, setTall] = useState(false);
  const [active, setActive] = useState(-1);
  const handle = useRef<ListHandle>(null);
  const runs = log.runs;
  const rows = useMemo(() => flatten(runs.root, folded), [runs, runs.shape, folded, Math.floor(version / 20), over]);
  const root = runs.root;
  const found = useMemo(() => marksOf(log, alerts), [log, runs, alerts, log.rows.length > 0]);
  if (root.name === "job") root.name = job.name || "job";
  const to = over ? Math.max(runs.last, root.end ?? runs.last) : Math.max(now, runs.last);
  const scale = scaleOf(log, runs.first, to);
  const waits = !over && stuck?.waits_for?.run_id;

  const fold = (run: Run) => {
    const next = new Set(folded);
    if (!next.delete(run.id)) next.add(run.id);
    setFolded(next);
  };
  const pick = (run: Run) => {
    const row = log.rows[run.index];
    if (row) setQuery({ event: row.id, tab: "" });
  };
  const key = (e: KeyboardEvent) => {
    const run = rows[active];
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      const next = Math.max(0, Math.min(rows.length - 1, active + (e.key === "ArrowDown" ? 1 : -1)));
      setActive(next);
      handle.current?.show(next);
    } else if (!run) return;
    else if (e.key === "ArrowRight" && folded.has(run.id)) fold(run);
    else if (e.key === "ArrowLeft" && run.children.length > 0 && !folded.has(run.id)) fold(run);
    else if (e.key === "Enter" || e.key === " ") pick(run);
    else return;
    e.preventDefault();
  };
  useEffect(() => {
    if (active >= rows.length) setActive(rows.length - 1);
  }, [rows.length]);
  if (log.rows.length === 0) return null;
  const height = Math.min(rows.length, tall ? 30 : mostRows) * rowHeight + 2;
  return (
    <section class="timeline card" aria-label="Timeline">
      <div class="t-head">
        <span class="t-title">
          Timeline <span class="dim">{runs.count} runs · {scale.text(1)}</span>
          {rows.length > mostRows && <button class="quiet small" aria-pressed={tall} onClick={() => setTall(!tall)}>{tall ? "less" : "more"}</button>}
        </span>
        <Axis scale={scale} />
      </div>
      <div class="t-grid" style={{ height: `${height}px` }}>
        <VirtualList count={rows.length} rowHeight={rowHeight} handle={handle} follow={!over && active < 0 && rows.length > mostRows}
          role="treegrid" aria-label="Runs of the job" aria-rowcount={rows.length} tabIndex={0} onKeyDown={key}
          aria-activedescendant={active >= 0 ? "run-" + active : undefined}
          render={(i) => (
            <RunRow key={rows[i]!.id} run={rows[i]!} place={i} scale={scale} now={to} over={over} found={found.get(rows[i]!)} active={i === active} folded={folded.has(rows[i]!.id)}
              waited={waits === rows[i]!.id} fold={() => fold(rows[i]!)} pick={() => { setActive(i); pick(rows[i]!); }} />
          )} />
      </div>
    </section>
  );
}

/** marksOf puts what alerts found on the run that its event belongs to. */
function marksOf(log: Log, alerts: Alert[]): Map<Run, Mark[]> {
  const out = new Map<Run, Mark[]>();
  for (const a of alerts) {
    const index = a.event_id ? log.byID.get(a.event_id) : undefined;
    const row = index === undefined ? undefined : log.rows[index]!;
    const data = row ? dataOf(row.raw) : {};
    const run = log.runs.get(String(data.run_id ?? "")) ?? log.runs.get("call:" + data.call_id) ?? log.runs.root;
    const mark: Mark = { time: row?.time ?? Date.parse(a.since), index: index ?? run.index, kind: "alert", text: `${a.rule}: ${a.summary}` };
    out.set(run, [...(out.get(run) ?? []), mark]);
  }
  return out;
}

const parts = [0, 0.25, 0.5, 0.75];

/** Where a moment lies, from 0 to 1, and what that is called. */
interface Scale {
  at: (time: number, index: number) => number;
  text: (part: number) => string;
}

/** scaleOf goes by time; by order if all events have the same, as those of an imported log. */
function scaleOf(log: Log, from: number, to: number): Scale {
  const last = log.rows.length - 1;
  if (last > 3 && to - from < 5) return { at: (_, index) => index / last, text: (part) => `event ${Math.round(part * last) + 1}` };
  const span = Math.max(1, to - from);
  return { at: (time) => (time - from) / span, text: (part) => (part === 0 ? "0" : duration(part * span)) };
}

function Axis({ scale }: { scale: Scale }) {
  return (
    <span class="t-axis" aria-hidden="true">
      {parts.map((p) => <span key={p} style={{ left: `${p * 100}%` }}>{scale.text(p)}</span>)}
    </span>
  );
}

type RowProps = { run: Run; place: number; scale: Scale; now: number; over: boolean; found?: Mark[]; active: boolean; folded: boolean; waited: boolean; fold: () => void; pick: () => void };

function RunRow({ run, place, scale, now, over, found, active, folded, waited, fold, pick }: RowProps) {
  const open = run.end === undefined && !over; // what never told its end ends with the job
  const end = run.end ?? now;
  const left = scale.at(run.start, run.index) * 100;
  const width = Math.max(0, scale.at(end, run.lastIndex) * 100 - left);
  const took = duration(end - run.start);
  const kids = run.children.length;
  const title = [run.name, run.status, took, run.message, run.error, run.tokens && short(run.tokens) + " tokens"].filter(Boolean).join(" · ");
  const inside = left + width > 80;
  return (
    <div class={"run" + (active ? " active" : "")} role="row" aria-level={run.depth + 1} aria-expanded={kids ? !folded : undefined} aria-rowindex={place + 1}
      id={"run-" + place} data-run={run.id} data-depth={run.depth} data-status={run.status} title={title} onClick={pick}>
      <span role="gridcell" class="r-name" style={{ paddingLeft: `${8 + Math.min(run.depth, 12) * 14}px` }}>
        {kids > 0 ? (
          <button class={"r-fold" + (folded ? "" : " open")} tabIndex={-1} aria-label={folded ? "Unfold" : "Fold"} onClick={(e) => { e.stopPropagation(); fold(); }} />
        ) : (
          <span class="r-leaf" />
        )}
        <span class={"k k-" + run.kind}>{run.kind === "pending" ? "?" : kindMark(run.kind)}</span>
        <span class="r-text">{run.name || run.id}</span>
        {run.attempt && run.attempt > 1 ? <span class="dim"> #{run.attempt}</span> : null}
      </span>
      <span role="gridcell" class="r-lane">
        <span class={`bar-run b-${run.status} bk-${run.kind}${open ? " open" : ""}${waited ? " waited" : ""}`} style={{ left: `${left}%`, width: `${width}%` }} />
        {run.marks.map((m, i) => <MarkDot key={i} mark={m} scale={scale} />)}
        {found?.map((m, i) => <MarkDot key={"a" + i} mark={m} scale={scale} />)}
        <span class={"r-took" + (inside ? " before" : "")} style={inside ? { right: `${100 - left}%` } : { left: `${left + width}%` }}>
          {took}{run.error ? " · " + oneLine(run.error, 60) : ""}{waited ? " · waits here" : ""}
        </span>
      </span>
    </div>
  );
}

function MarkDot({ mark, scale }: { mark: Mark; scale: Scale }) {
  return <i class={"mark m-" + mark.kind} style={{ left: `${scale.at(mark.time, mark.index) * 100}%` }} title={mark.text} />;
}

function kindMark(kind: string): string {
  const marks: Record<string, string> = { tool: "T", llm: "M", agent: "A", graph: "G", node: "N", chain: "C", task: "Q", job: "J", retriever: "R", embedding: "E" };
  return marks[kind] ?? "P";
}
