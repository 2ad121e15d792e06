import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { duration, oneLine, short } from "../format";
import { useNow } from "../hooks";
import { setQuery } from "../router";
import { ended, type Job, type Stuck } from "../types";
import { VirtualList, type ListHandle } from "../virtual";
import type { Log } from "./log";
import { flatten, type Mark, type Run } from "./runs";

const rowHeight = 24;
const mostRows = 11;

/** Timeline draws the tree of runs over time. Open runs grow. */
export function Timeline({ log, version, job, stuck }: { log: Log; version: number; job: Job; stuck?: Stuck }) {
  const over = ended(job.status) || log.ended;
  const now = useNow(over ? 60_000 : 500);
  const [folded, setFolded] = useState<Set<string>>(() => new Set());
  const [tall, setTall] = useState(false);
  const [active, setActive] = useState(-1);
  const handle = useRef<ListHandle>(null);
  const runs = log.runs;
  const rows = useMemo(() => flatten(runs.root, folded), [runs, runs.shape, folded, Math.floor(version / 20), over]);
  const root = runs.root;
  if (root.name === "job") root.name = job.name || "job";
  const from = runs.first;
  const to = over ? Math.max(runs.last, root.end ?? runs.last) : Math.max(now, runs.last);
  const span = Math.max(1, to - from);
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
          Timeline <span class="dim">{runs.count} runs · {duration(to - from)}</span>
          {rows.length > mostRows && <button class="quiet small" aria-pressed={tall} onClick={() => setTall(!tall)}>{tall ? "less" : "more"}</button>}
        </span>
        <Axis span={span} />
      </div>
      <div class="t-grid" style={{ height: `${height}px` }}>
        <VirtualList count={rows.length} rowHeight={rowHeight} handle={handle} follow={!over && active < 0 && rows.length > mostRows}
          role="treegrid" aria-label="Runs of the job" aria-rowcount={rows.length} tabIndex={0} onKeyDown={key}
          aria-activedescendant={active >= 0 ? "run-" + active : undefined}
          render={(i) => (
            <RunRow key={rows[i]!.id} run={rows[i]!} place={i} from={from} span={span} now={to} over={over} active={i === active} folded={folded.has(rows[i]!.id)}
              waited={waits === rows[i]!.id} fold={() => fold(rows[i]!)} pick={() => { setActive(i); pick(rows[i]!); }} />
          )} />
      </div>
    </section>
  );
}

const parts = [0, 0.25, 0.5, 0.75];

function Axis({ span }: { span: number }) {
  return (
    <span class="t-axis" aria-hidden="true">
      {parts.map((p) => <span key={p} style={{ left: `${p * 100}%` }}>{p === 0 ? "0" : duration(span * p)}</span>)}
    </span>
  );
}

type RowProps = { run: Run; place: number; from: number; span: number; now: number; over: boolean; active: boolean; folded: boolean; waited: boolean; fold: () => void; pick: () => void };

function RunRow({ run, place, from, span, now, over, active, folded, waited, fold, pick }: RowProps) {
  const open = run.end === undefined && !over; // what never told its end ends with the job
  const end = run.end ?? now;
  const left = ((run.start - from) / span) * 100;
  const width = Math.max(0, ((end - run.start) / span) * 100);
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
        {run.marks.map((m, i) => <MarkDot key={i} mark={m} from={from} span={span} />)}
        <span class={"r-took" + (inside ? " before" : "")} style={inside ? { right: `${100 - left}%` } : { left: `${left + width}%` }}>
          {took}{run.error ? " · " + oneLine(run.error, 60) : ""}{waited ? " · waits here" : ""}
        </span>
      </span>
    </div>
  );
}

function MarkDot({ mark, from, span }: { mark: Mark; from: number; span: number }) {
  return <i class={"mark m-" + mark.kind} style={{ left: `${((mark.time - from) / span) * 100}%` }} title={mark.text} />;
}

function kindMark(kind: string): string {
  const marks: Record<string, string> = { tool: "T", llm: "M", agent: "A", graph: "G", node: "N", chain: "C", task: "Q", job: "J", retriever: "R", embedding: "E" };
  return marks[kind] ?? "P";
}
