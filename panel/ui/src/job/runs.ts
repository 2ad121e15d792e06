import type { Data, Row } from "./log";

export type RunStatus = "running" | "completed" | "failed" | "interrupted" | "pending" | "cancelled";

/** A moment on a run's bar. */
export interface Mark {
  time: number;
  index: number;
  kind: "error" | "note" | "alert";
  text: string;
}

export interface Run {
  id: string;
  name: string;
  kind: string;
  status: RunStatus;
  start: number;
  end?: number;
  parent?: Run;
  children: Run[];
  depth: number;
  index: number; // of its first event
  lastIndex: number;
  error: string;
  message: string;
  attempt?: number;
  tokens?: number;
  marks: Mark[];
}

const str = (v: unknown): string => (typeof v === "string" ? v : "");
const num = (v: unknown): number | undefined => (typeof v === "number" ? v : undefined);

const ends: Record<string, RunStatus> = { completed: "completed", failed: "failed", interrupted: "interrupted" };

/** Runs is the tree of a job's runs, as its events tell it. Each event costs the same. */
export class Runs {
  root: Run = blank("", "job", "job", NaN, 0);
  count = 0;
  /** Grows when a run is added or moved. */
  shape = 0;
  first = NaN;
  last = NaN;

  private byID = new Map<string, Run>();
  private attempt?: Run; // of the task queue
  private phases: Run[] = []; // open, of events without run_id

  get(id: string): Run | undefined {
    return this.byID.get(id);
  }

  add(row: Row, d: Data, index: number): void {
    if (Number.isNaN(this.first)) {
      this.first = this.last = row.time;
      this.root.start = row.time;
      this.root.status = "running";
    }
    this.first = Math.min(this.first, row.time);
    this.last = Math.max(this.last, row.time);
    const run = this.apply(row, d, index);
    if (run) run.lastIndex = index;
    this.root.lastIndex = index;
  }

  private apply(row: Row, d: Data, index: number): Run | undefined {
    switch (row.type) {
      case "phase_update": return this.phase(row, d, index);
      case "thought": return this.thought(row, d, index);
      case "tool_call": return this.toolCall(row, d, index);
      case "tool_result": return this.toolResult(row, d, index);
      case "error": return this.error(row, d, index);
      case "done": this.endRoot(row, "completed"); return;
      case "cancelled": this.endRoot(row, "cancelled"); return;
      case "cancel_requested":
        this.mark(this.root, row, index, "note", "asked to stop" + (str(d.by) ? " by " + str(d.by) : ""));
        return;
      default:
        if (row.type.startsWith("task_")) return this.task(row, d, index);
    }
    const known = this.byID.get(str(d.run_id));
    return known;
  }

  private phase(row: Row, d: Data, index: number): Run | undefined {
    const status = str(d.status);
    let id = str(d.run_id);
    if (!id) {
      if (str(d.phase) === "job" || (!this.byID.size && status === "started" && !d.phase)) {
        if (str(d.name)) this.root.name = str(d.name);
        if (status === "interrupted") this.mark(this.root, row, index, "note", "waits for input");
        if (status === "resumed") this.mark(this.root, row, index, "note", "resumed");
        return;
      }
      id = "phase:" + (str(d.phase) || str(d.name));
      if (status !== "started" && !this.byID.has(id)) {
        this.mark(this.phases.at(-1) ?? this.root, row, index, "note", `${str(d.phase)} ${status}`.trim());
        return this.phases.at(-1);
      }
    }
    const run = this.open(id, row, d, index, str(d.name) || str(d.phase), str(d.kind) || "phase");
    if (str(d.message)) run.message = str(d.message);
    if (status === "started" || status === "resumed") {
      run.status = "running";
      run.end = undefined;
      if (!d.run_id) this.phases.push(run);
      if (status === "resumed") this.mark(run, row, index, "note", "resumed");
    } else if (ends[status]) {
      this.end(run, row, d, ends[status]!);
      this.phases = this.phases.filter((p) => p !== run);
      if (status === "interrupted") this.mark(run, row, index, "note", "waits for input");
    }
    return run;
  }

  private thought(row: Row, d: Data, index: number): Run | undefined {
    const id = str(d.run_id);
    if (!id) {
      if (!d.delta) this.mark(this.phases.at(-1) ?? this.root, row, index, "note", "thought");
      return;
    }
    const run = this.open(id, row, d, index, str(d.name) || str(d.model) || "model", "llm");
    if (str(d.model) && run.name === "model") run.name = str(d.model);
    if (d.status === "started") run.status = "running";
    if (d.status === "completed") {
      this.end(run, row, d, "completed");
      const usage = d.usage as { input_tokens?: number; output_tokens?: number } | undefined;
      if (usage) run.tokens = (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
    }
    return run;
  }

  private toolCall(row: Row, d: Data, index: number): Run {
    return this.open(callID(d), row, d, index, str(d.tool) || "tool", "tool");
  }

  private toolResult(row: Row, d: Data, index: number): Run {
    const known = this.byID.has(callID(d));
    const run = this.open(callID(d), row, d, index, str(d.tool) || "tool", "tool");
    const took = num(d.duration_ms);
    if (!known && took) run.start = row.time - took;
    const failed = d.error !== undefined && d.error !== null;
    this.end(run, row, d, failed ? "failed" : "completed");
    return run;
  }

  private error(row: Row, d: Data, index: number): Run | undefined {
    const run = this.byID.get(str(d.run_id));
    const text = typeof d.error === "string" ? d.error : JSON.stringify(d.error ?? "error");
    this.mark(run ?? this.root, row, index, "error", text);
    if (run && d.scope === "llm") this.end(run, row, d, "failed");
    if (d.fatal === true) {
      this.root.error = text;
      this.endRoot(row, "failed");
    }
    return run;
  }

  private task(row: Row, d: Data, index: number): Run | undefined {
    const by = str(d.worker);
    switch (row.type) {
      case "task_queued":
        this.mark(this.root, row, index, "note", "queued" + (str(d.queue) ? " on " + str(d.queue) : ""));
        return;
      case "task_started": {
        if (this.attempt) this.end(this.attempt, row, d, "failed");
        const n = num(d.attempt);
        const run = this.open(`task:${index}`, row, {}, index, `${str(d.task) || "task"}${by ? " on " + by : ""}`, "task");
        if (n) run.attempt = n;
        this.attempt = run;
        return run;
      }
      case "task_retried":
      case "task_failed":
      case "task_completed": {
        const run = this.attempt;
        this.attempt = undefined;
        if (row.type !== "task_completed") this.mark(run ?? this.root, row, index, "error", str(d.error) || row.type);
        if (run) this.end(run, row, d, row.type === "task_completed" ? "completed" : "failed");
        if (row.type !== "task_retried") this.root.end ??= row.time;
        return run;
      }
    }
    return this.attempt;
  }

  private open(id: string, row: Row, d: Data, index: number, name: string, kind: string): Run {
    let run = this.byID.get(id);
    if (run && run.status !== "pending") {
      if (num(d.attempt)) run.attempt = num(d.attempt);
      return run;
    }
    if (!run) {
      run = blank(id, name, kind, row.time, index);
      this.byID.set(id, run);
      this.count++;
      this.place(run, this.parentOf(d, run, row, index));
    } else {
      Object.assign(run, { name, kind, index });
      run.start = Math.min(run.start, row.time);
      this.place(run, this.parentOf(d, run, row, index));
    }
    run.status = "running";
    run.attempt = num(d.attempt);
    this.shape++;
    return run;
  }

  /** parentOf is the run around it: one that has not told of itself yet waits for that. */
  private parentOf(d: Data, run: Run, row: Row, index: number): Run {
    const id = str(d.parent_run_id);
    if (!id) return d.run_id ? this.root : (this.phases.at(-1) ?? this.attempt ?? this.root);
    let parent = this.byID.get(id);
    if (!parent) {
      parent = blank(id, "…", "pending", row.time, index);
      this.byID.set(id, parent);
      this.count++;
      this.place(parent, this.root);
    }
    for (let up: Run | undefined = parent; up; up = up.parent) if (up === run) return this.root; // a circle
    return parent;
  }

  private place(run: Run, parent: Run): void {
    if (run.parent === parent) return;
    if (run.parent) run.parent.children.splice(run.parent.children.indexOf(run), 1);
    run.parent = parent;
    parent.children.push(run);
  }

  private end(run: Run, row: Row, d: Data, status: RunStatus): void {
    if (run.status !== "failed" || status !== "completed") run.status = status;
    run.end = row.time;
    const took = num(d.duration_ms);
    if (took !== undefined && run.start === row.time && took > 0) run.start = row.time - took;
    if (status === "failed") run.error = typeof d.error === "string" ? d.error : d.error ? JSON.stringify(d.error) : run.error;
    this.first = Math.min(this.first, run.start);
  }

  private endRoot(row: Row, status: RunStatus): void {
    this.root.status = status;
    this.root.end = row.time;
  }

  private mark(run: Run, row: Row, index: number, kind: Mark["kind"], text: string): void {
    run.marks.push({ time: row.time, index, kind, text });
  }
}

function callID(d: Data): string {
  return str(d.run_id) || "call:" + str(d.call_id);
}

function blank(id: string, name: string, kind: string, start: number, index: number): Run {
  return {
    id, name, kind, start, index, lastIndex: index,
    status: "pending", children: [], depth: 0, error: "", message: "", marks: [],
  };
}

/** flatten gives the runs in the order of the tree, without those that are folded away. */
export function flatten(root: Run, folded: Set<string>): Run[] {
  const out: Run[] = [];
  const stack: Run[] = [root];
  while (stack.length > 0) {
    const run = stack.pop()!;
    run.depth = run.parent ? run.parent.depth + 1 : 0;
    out.push(run);
    if (folded.has(run.id)) continue;
    for (let i = run.children.length - 1; i >= 0; i--) stack.push(run.children[i]!);
  }
  return out;
}
