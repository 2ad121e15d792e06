import type { Frame } from "../sse";
import { Messages } from "./messages";
import { Runs } from "./runs";

/** An event as it is kept: its JSON stays text until somebody looks at it. */
export interface Row {
  id: string;
  type: string;
  time: number; // ms since 1970, by the publisher's clock
  raw: string;
}

export type Data = Record<string, unknown>;

/** dataOf is an event's data as an object. */
export function dataOf(raw: string): Data {
  const data = JSON.parse(raw).data;
  return data !== null && typeof data === "object" && !Array.isArray(data) ? data : {};
}

/** The events of a job as they come, and what they add up to. */
export class Log {
  rows: Row[] = [];
  byID = new Map<string, number>();
  types = new Map<string, number>();
  runs = new Runs();
  messages = new Messages();
  /** The newest events of a long log, shown until the others have come. */
  tail: Row[] = [];
  /** How many events the log has, as far as is known. */
  expected = 0;
  /** Why there is nothing before the first row; empty: it is the first. */
  missing = "";
  /** Grows with every change. */
  version = 0;
  ended = false;

  private listeners = new Set<() => void>();
  private told = false;

  /** listen calls back after changes, once a picture at most. */
  listen(f: () => void): () => void {
    this.listeners.add(f);
    return () => this.listeners.delete(f);
  }

  private tell(): void {
    this.version++;
    if (this.told) return;
    this.told = true;
    const run = () => {
      this.told = false;
      for (const f of this.listeners) f();
    };
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  }

  /** add takes events of the stream, in order. */
  add(frames: Frame[]): void {
    for (const f of frames) this.append(f.data);
    this.tell();
  }

  private append(raw: string): void {
    const e = JSON.parse(raw) as { id: string; event_type: string; timestamp: string; data: unknown };
    if (this.byID.has(e.id)) return;
    const index = this.rows.length;
    const row = { id: e.id, type: e.event_type, time: Date.parse(e.timestamp), raw };
    this.rows.push(row);
    this.byID.set(e.id, index);
    this.types.set(e.event_type, (this.types.get(e.event_type) ?? 0) + 1);
    const data = e.data !== null && typeof e.data === "object" && !Array.isArray(e.data) ? (e.data as Data) : {};
    this.runs.add(row, data, index);
    if (e.event_type === "thought" || e.event_type === "error") this.messages.add(row, data, index);
  }

  /** preview shows the newest events before the others have come. */
  preview(events: { id: string; event_type: string; timestamp: string }[], total: number): void {
    this.tail = events.map((e) => ({ id: e.id, type: e.event_type, time: Date.parse(e.timestamp), raw: JSON.stringify(e) }));
    this.expected = total;
    this.tell();
  }

  /** reset forgets everything: the log is another one. */
  reset(): void {
    this.rows = [];
    this.byID.clear();
    this.types.clear();
    this.runs = new Runs();
    this.messages = new Messages();
    this.tail = [];
    this.expected = 0;
    this.tell();
  }

  changed(): void {
    this.tell();
  }

  /** length counts the rows to show, those that have not come yet among them. */
  get length(): number {
    return this.loading ? this.expected : this.rows.length;
  }

  get loading(): boolean {
    return this.rows.length < this.expected && this.tail.length > 0;
  }

  /** at is the row at a place; undefined: it has not come yet. */
  at(index: number): Row | undefined {
    if (index < this.rows.length) return this.rows[index];
    return this.tail[index - (this.expected - this.tail.length)];
  }

  find(id: string): { row: Row; index: number } | undefined {
    const index = this.byID.get(id);
    if (index !== undefined) return { row: this.rows[index]!, index };
    const inTail = this.tail.findIndex((r) => r.id === id);
    if (inTail < 0) return undefined;
    return { row: this.tail[inTail]!, index: this.expected - this.tail.length + inTail };
  }
}
