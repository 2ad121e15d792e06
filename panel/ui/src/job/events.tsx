import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, timeOfDay } from "../format";
import { Icon } from "../icons";
import { Empty } from "../parts";
import { route, setQuery } from "../router";
import { ended, type Job } from "../types";
import { VirtualList, type ListHandle } from "../virtual";
import { Inspector } from "./inspector";
import type { Log, Row } from "./log";
import { preview } from "./preview";

/** Filtered keeps which events pass, and looks at new ones only. */
class Filtered {
  index: number[] = [];
  private seen = 0;
  private first?: Row;
  constructor(readonly types: Set<string>, readonly text: RegExp | undefined, readonly noDeltas: boolean) {}

  get any(): boolean {
    return this.types.size > 0 || !!this.text || this.noDeltas;
  }

  update(log: Log): void {
    if (log.rows[0] !== this.first) {
      this.index = [];
      this.seen = 0;
      this.first = log.rows[0];
    }
    for (; this.seen < log.rows.length; this.seen++) {
      const row = log.rows[this.seen]!;
      if (this.types.size > 0 && !this.types.has(row.type)) continue;
      if (this.noDeltas && row.type === "thought" && row.raw.includes('"status":"delta"')) continue;
      if (this.text && !this.text.test(row.raw)) continue;
      this.index.push(this.seen);
    }
  }
}

/** pattern looks for the text as it stands in JSON, whatever its case. */
function pattern(text: string): RegExp | undefined {
  if (!text) return undefined;
  const written = JSON.stringify(text).slice(1, -1);
  return new RegExp(written.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
}

const rowHeight = 26;

/** Events is the log as it happens. */
export function Events({ log, job }: { log: Log; version: number; job: Job }) {
  const query = route.value.query;
  const types = query.get("type") ?? "";
  const text = query.get("find") ?? "";
  const selected = query.get("event") ?? "";
  const noDeltas = query.get("deltas") === "hidden";
  const filtered = useMemo(() => new Filtered(new Set(types.split(",").filter(Boolean)), pattern(text), noDeltas), [types, text, noDeltas]);
  const [follow, setFollow] = useState(!selected && !ended(job.status));
  const handle = useRef<ListHandle>(null);
  if (filtered.any) filtered.update(log);
  const length = filtered.any ? filtered.index.length : log.length;
  const at = (i: number) => (filtered.any ? filtered.index[i] : i);

  const place = (id: string): number => {
    const index = log.find(id)?.index;
    if (index === undefined) return -1;
    return filtered.any ? filtered.index.indexOf(index) : index;
  };
  const select = (id: string) => {
    setQuery({ event: id });
    if (id) setFollow(false);
  };
  const here = selected ? place(selected) : -1;
  const shown = useRef("");
  useEffect(() => {
    // An address with an event opens at it, once it has come.
    if (selected && here >= 0 && shown.current !== selected) {
      handle.current?.show(here, shown.current ? "nearest" : "center");
      shown.current = selected;
    }
    if (!selected) shown.current = "-";
  }, [selected, here]);
  const byList = (to: number) => {
    to = Math.max(0, Math.min(length - 1, to));
    const row = log.at(at(to) ?? -1);
    if (row) {
      shown.current = row.id;
      select(row.id);
      handle.current?.show(to);
    }
  };
  const key = (e: KeyboardEvent) => {
    if (e.metaKey || e.ctrlKey || e.altKey) return;
    const steps: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 20, PageUp: -20 };
    if (steps[e.key]) byList(here < 0 ? length - 1 : here + steps[e.key]!);
    else if (e.key === "Home") byList(0);
    else if (e.key === "End") byList(length - 1);
    else if (e.key === "Escape" && selected) select("");
    else if (e.key === "f") setFollow(!follow);
    else return;
    e.preventDefault();
  };
  const entry = selected ? log.find(selected) : undefined;
  return (
    <div class={"events" + (entry ? " inspecting" : "")}>
      <div class="eventsbar">
        <TypeFilter log={log} chosen={filtered.types} />
        <Find text={text} />
        {log.types.has("thought") && (
          <button class="chip" aria-pressed={noDeltas} onClick={() => setQuery({ deltas: noDeltas ? "" : "hidden" })} title="The pieces of what the model writes; Text has them put together">without pieces</button>
        )}
        {filtered.any && <span class="dim" data-matches>{count(length)} match</span>}
        <span class="grow" />
        {log.loading && <span class="dim" role="status" data-loading>{count(log.rows.length)} of {count(log.expected)}</span>}
        {!ended(job.status) || follow ? (
          <button class="small" aria-pressed={follow} onClick={() => setFollow(!follow)} title="Keep the newest event in view (f)" data-follow>
            <Icon name={follow ? "pause" : "play"} /> {follow ? "Following" : "Follow"}
          </button>
        ) : (
          <button class="small" onClick={() => handle.current?.toEnd()}><Icon name="down" /> To the end</button>
        )}
      </div>
      <div class="split">
        <div class="loglist">
          {length === 0 ? (
            <Empty>{filtered.any ? "No event passes the filter." : "Nothing yet."}</Empty>
          ) : (
            <VirtualList count={length} rowHeight={rowHeight} handle={handle} follow={follow} onEnd={(end) => setFollow(end && !ended(job.status))}
              role="grid" aria-label="Events" aria-rowcount={length} tabIndex={0} onKeyDown={key}
              aria-activedescendant={here >= 0 ? "event-" + here : undefined}
              render={(i) => <EventRow key={i} row={log.at(at(i)!)} place={i} selected={i === here} select={select} />} />
          )}
        </div>
        {entry && <Inspector row={entry.row} index={entry.index} close={() => select("")} step={(n) => byList(here + n)} />}
      </div>
    </div>
  );
}

function EventRow({ row, place, selected, select }: { row?: Row; place: number; selected: boolean; select: (id: string) => void }) {
  if (!row)
    return (
      <div class="event coming" role="row" aria-rowindex={place + 1}>
        <span role="gridcell" class="dim mono">{place + 1} …</span>
      </div>
    );
  const p = preview(row);
  return (
    <div class={"event" + (selected ? " active" : "") + (p.bad ? " bad" : "")} role="row" aria-rowindex={place + 1} aria-selected={selected}
      id={"event-" + place} data-event={row.id} data-type={row.type} onClick={() => select(selected ? "" : row.id)}>
      <span role="gridcell" class="e-time mono dim">{timeOfDay(row.time)}</span>
      <span role="gridcell" class={"e-type t-" + family(row.type)}>{row.type}</span>
      <span role="gridcell" class="e-text">{p.head && <b>{p.head}</b>} {p.text}</span>
    </div>
  );
}

function family(type: string): string {
  if (type.startsWith("task_")) return "task";
  if (type.startsWith("tool_")) return "tool";
  if (type === "cancelled" || type === "cancel_requested") return "cancel";
  return /^(thought|phase_update|error|done|state|custom)$/.test(type) ? type : "other";
}

function TypeFilter({ log, chosen }: { log: Log; chosen: Set<string> }) {
  const toggle = (type: string) => {
    const next = new Set(chosen);
    if (!next.delete(type)) next.add(type);
    setQuery({ type: [...next].join(",") });
  };
  const all = [...new Set([...log.types.keys(), ...chosen])].sort();
  return (
    <div class="chips" role="group" aria-label="Types of events">
      {all.map((type) => (
        <button key={type} class={"chip t-" + family(type)} aria-pressed={chosen.has(type)} onClick={() => toggle(type)} data-filter={type}>
          {type} <span class="dim">{count(log.types.get(type) ?? 0)}</span>
        </button>
      ))}
    </div>
  );
}

function Find({ text }: { text: string }) {
  const [value, set] = useState(text);
  const timer = useRef(0);
  useEffect(() => set(text), [text]);
  const input = (v: string) => {
    set(v);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setQuery({ find: v }), 200);
  };
  return <input class="find" type="search" name="find" aria-label="Find in events" placeholder="Find in events" value={value} spellcheck={false} onInput={(e) => input(e.currentTarget.value)} />;
}

