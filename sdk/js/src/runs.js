import { Data } from "./data.js";
import { encode, nothing } from "./encode.js";
import { byteLength, quote } from "./text.js";

/** @typedef {import("./handler.js").Handler} Handler */
/** @typedef {import("./encode.js").Encoded} Encoded */

/**
 * Describes a run. Every member may be left out.
 * @typedef {object} RunInfo
 * @property {string} [id]  unique in the job; a new one if left out
 * @property {string} [name]
 * @property {string} [kind]  agent, graph, node, chain, tool, llm, retriever, embedding, guardrail, evaluator or another word
 * @property {string[]} [ns]  path of nested graphs, outermost first
 * @property {number} [step]  of a graph
 * @property {number} [attempt]  of a retried run, from 1
 * @property {unknown} [input]  published as input
 * @property {boolean} [hidden]  publishes nothing; runs beneath appear under the nearest one that is not hidden
 * @property {Run | ModelRun | ToolRun} [parent]  the run around it
 * @property {boolean} [resumed]  begins as resumed: it goes on where an interrupt was
 * @property {unknown} [value]  with resumed: the answer
 * @property {boolean} [leaf]  never the root of the job, whose end can be the end of the job
 */

/**
 * @typedef {RunInfo & {model?: string, messageId?: string}} ModelInfo
 * @typedef {RunInfo & {tool?: string, callId?: string}} ToolInfo
 */

/**
 * Tokens as OpenTelemetry counts them.
 * @typedef {object} Usage
 * @property {number} [input_tokens]  read from and written to a cache included
 * @property {number} [output_tokens]  reasoning included
 * @property {number} [cached_input_tokens]
 * @property {number} [cache_write_tokens]
 * @property {number} [reasoning_tokens]
 */

/** @typedef {"text" | "reasoning" | "refusal"} Channel */

/**
 * One chain, graph, node or phase in the tree of a job, from its start to its
 * end. Its methods never throw or block.
 */
export class Run {
  ended = false;
  interrupted = false;
  resumed = false; // its beginning was told as a resume
  waiting = 0; // runs that wait for input: itself and those beneath
  /** @type {Encoded} */
  told = nothing; // the output

  /**
   * @param {Handler} h
   * @param {RunInfo} info
   * @param {string} kind  if info has none
   * @param {boolean} leaf  a model or tool call, never the root of a job
   * @param {string} [name]
   */
  constructor(h, info, kind, leaf, name = info.name) {
    this.h = h;
    this.id = typeof info.id === "string" && info.id !== "" ? info.id : newRunId();
    this.name = name ? String(name) : "";
    this.idJSON = quote(this.id);
    this.nameJSON = this.name && quote(this.name);
    this.kind = info.kind || kind;
    this.hidden = info.hidden === true;
    this.parent = parentOf(h, info.parent);
    this.isRoot = !this.parent && !leaf;
    this.began = h.now();
    this.tree = treeMembers(this, info);
  }

  /** The run itself, or the nearest one around it that is not hidden.
   * @returns {Run | undefined} */
  get visible() {
    /** @type {Run | undefined} */
    let r = this;
    while (r?.hidden) r = r.parent;
    return r;
  }

  /**
   * Whether it lies below a, or a is undefined: the job itself.
   * @param {Run | undefined} a
   */
  beneath(a) {
    if (!a) return true;
    for (let r = /** @type {Run | undefined} */ (this); r; r = r.parent) if (r === a) return true;
    return false;
  }

  /** Begins the data of a phase_update of the run.
   * @param {string} status */
  data(status) {
    return new Data((this.name && `"phase":${this.nameJSON},`) + `"status":"${status}",${this.tree}`);
  }

  /**
   * Starts a phase beneath this one. With fn, it ends when fn does, with its
   * error if it throws.
   * @template T
   * @overload
   * @param {string | RunInfo} info
   * @returns {Run}
   */
  /**
   * @template T
   * @overload
   * @param {string | RunInfo} info
   * @param {(run: Run) => T | Promise<T>} fn
   * @returns {Promise<T>}
   */
  /**
   * @param {string | RunInfo} info
   * @param {(run: Run) => any} [fn]
   * @returns {any}
   */
  phase(info, fn) {
    const inner = { ...named(info, "name"), parent: this };
    return fn ? this.h.phase(inner, fn) : this.h.phase(inner);
  }

  /** Starts a call of a model beneath this run. End it.
   * @param {string | ModelInfo} info  the model, or all about the call */
  model(info) {
    return this.h.model({ ...(typeof info === "string" ? { model: info, name: info } : info), parent: this });
  }

  /**
   * Calls fn, a tool, and publishes the call and its result.
   * @template T
   * @param {string | ToolInfo} info  the tool, or all about the call
   * @param {() => T | Promise<T>} fn
   * @returns {Promise<T>}
   */
  tool(info, fn) {
    return this.h.tool({ ...named(info, "tool"), parent: this }, fn);
  }

  /** Publishes that a tool is called. End the call that it returns.
   * @param {string | ToolInfo} info */
  toolStart(info) {
    return this.h.toolStart({ ...named(info, "tool"), parent: this });
  }

  /**
   * Reports how far the run is, from 0 to 1, and what it does at the moment.
   * @param {number | undefined} progress
   * @param {string} [message]
   */
  progress(progress, message) {
    if (this.hidden) return;
    this.h.guard("progress", () => {
      const d = this.data("progress");
      if (typeof progress === "number" && progress >= 0 && progress < Infinity) d.number("progress", Math.min(progress, 1));
      if (message) d.value("message", this.h.field("phase_update", "message", String(message)));
      this.h.emitData("phase_update", d);
    });
  }

  /**
   * Says that the run waits for input; value is what it asks for. When it goes
   * on in this process, call resume; when it ends here and another one resumes
   * it, end it without an error.
   * @param {unknown} [value]
   */
  interrupt(value) {
    this.h.guard("interrupt", () => {
      const v = this.h.field("phase_update", "value", value);
      const first = this.h.tree.interrupt(this);
      const visible = this.visible;
      if (first === undefined || !visible || (this.hidden && !first)) return;
      const d = visible.data("interrupted");
      if (first) d.raw("interrupts", interruptJSON(this.id, v)).note("value", v);
      this.h.emitData("phase_update", d);
    });
  }

  /**
   * Says that the run goes on after an interrupt; value is the answer.
   * @param {unknown} [value]
   */
  resume(value) {
    this.h.guard("resume", () => {
      const v = this.h.field("phase_update", "value", value);
      const visible = this.visible;
      if (this.ended || !this.h.tree.stopWaiting(this) || !visible) return;
      this.h.emitData("phase_update", visible.data("resumed").value("value", v));
    });
  }

  /**
   * Sets what the run's end publishes as output. The output of the root is that
   * of an automatic end.
   * @param {unknown} output
   */
  output(output) {
    this.h.guard("output", () => {
      this.told = this.h.field("phase_update", "output", output);
    });
  }

  /** Publishes anything that the run wants to say.
   * @param {string} name
   * @param {unknown} [value] */
  custom(name, value) {
    this.h.custom(name, value, this);
  }

  /** Publishes a snapshot of the run's state.
   * @param {unknown} snapshot */
  state(snapshot) {
    this.h.state(snapshot, this);
  }

  /** Publishes a change of the run's state: a JSON Patch (RFC 6902).
   * @param {unknown} patch */
  statePatch(patch) {
    this.h.statePatch(patch, this);
  }

  /**
   * Ends the run: completed, or failed with err. The second end does nothing.
   * @param {unknown} [err]
   */
  end(err) {
    this.h.guard("end", () => {
      const error = given(err);
      const status = this.h.tree.close(this, error);
      if (status === undefined) return;
      try {
        if (status !== "" && !this.hidden) this.h.emitData("phase_update", this.ending(status, error));
      } finally {
        if (!this.isRoot) this.told = nothing; // it may be remembered for long
        this.h.settle(this);
      }
    });
  }

  /**
   * @param {string} status
   * @param {unknown} err
   */
  ending(status, err) {
    const d = this.data(status).millis("duration_ms", this.h.now() - this.began);
    if (status === "failed") this.h.explain("phase_update", err, this).addTo(d, "error_kind");
    else if (status === "completed") d.value("output", this.told);
    return d;
  }
}

/** One call of a language model. Its methods never throw or block. */
export class ModelRun {
  /** @type {Usage | undefined} */
  used;
  /** @type {{amount: number, currency: string} | undefined} */
  spent;
  /** @type {unknown} */
  finish;
  text = "";
  textBytes = 0; // of all text deltas, also those that text no longer holds
  firstToken = -1;
  /** @type {import("./queue.js").DeltaItem | undefined} */
  tail; // the delta in the queue that may take more text
  /** @type {string[]} */
  calls = []; // the tools that the model asks for, as JSON
  half = ""; // of a character whose other half comes with the next delta

  /**
   * @param {Handler} h
   * @param {ModelInfo} info
   */
  constructor(h, info) {
    this.h = h;
    this.run = new Run(h, info, "llm", true);
    this.model = info.model ? String(info.model) : "";
    this.messageId = info.messageId || this.run.id;
    this.messageJSON = quote(this.messageId);
    const parent = this.run.parent?.visible;
    /** The members that end the data of a delta. */
    this.place = `"message_id":${this.messageJSON},"run_id":${this.run.idJSON}` + (parent ? `,"parent_run_id":${parent.idJSON}` : "");
  }

  get id() {
    return this.run.id;
  }

  /** @param {string} status */
  data(status) {
    return new Data(`"status":"${status}",${this.model && `"model":${quote(this.model)},`}"message_id":${this.messageJSON},${this.run.tree}`);
  }

  /**
   * Publishes the next piece of a stream. Pieces that come close together are
   * joined into one event. Empty ones are left out.
   * @param {string} text
   * @param {Channel} [channel]
   */
  delta(text, channel = "text") {
    if (typeof text !== "string" || text === "") return;
    this.h.guard("delta", () => {
      if (this.run.ended) return this.h.outbox.stray();
      if (this.firstToken < 0) this.firstToken = this.h.now() - this.run.began;
      const whole = this.joined(text);
      if (channel === "text") this.gather(text);
      if (!this.run.hidden && whole !== "") this.h.outbox.putDelta(this, channel, whole);
    });
  }

  /**
   * The text with the half of a character that the piece before ended with, and
   * without the one that it ends with itself.
   * @param {string} text
   */
  joined(text) {
    const whole = this.half + text;
    const last = whole.charCodeAt(whole.length - 1);
    const ends = last >= 0xd800 && last < 0xdc00;
    this.half = ends ? whole.slice(-1) : "";
    return ends ? whole.slice(0, -1) : whole;
  }

  /** @param {string} text */
  gather(text) {
    this.textBytes += byteLength(text);
    const limit = this.h.options.maxFieldBytes;
    if (limit <= 0 || this.text.length <= limit) this.text += text;
  }

  /** Sets the tokens that the call took so far. The last word counts.
   * @param {Usage} usage */
  usage(usage) {
    this.h.guard("usage", () => {
      this.used = { ...usage };
    });
  }

  /**
   * Sets what the call cost so far, in a currency such as "USD". The last word
   * counts.
   * @param {number} amount
   * @param {string} currency
   */
  cost(amount, currency) {
    if (!Number.isFinite(amount) || (amount === 0 && !currency)) this.spent = undefined;
    else this.spent = { amount, currency: String(currency ?? "") };
  }

  /** Sets why the model stopped, as the provider says it.
   * @param {string} reason */
  finishReason(reason) {
    this.finish = reason;
  }

  /**
   * Adds a tool that the model asks for, with the arguments that it gave, to
   * what the end publishes. It calls nothing.
   * @param {string} callId
   * @param {string} tool
   * @param {unknown} [input]
   */
  toolCall(callId, tool, input) {
    this.h.guard("toolCall", () => {
      const d = new Data().text("call_id", callId).str("tool", String(tool));
      if (input !== undefined) d.raw("input", encode(input, 0).json);
      this.calls.push(d.end());
    });
  }

  /**
   * Ends the call with the whole text of the answer; none means what the text
   * deltas added up to. With an error it publishes an error of scope llm
   * instead. The second end does nothing.
   * @param {string} [text]
   * @param {unknown} [err]
   */
  end(text, err) {
    this.h.guard("end", () => {
      const error = given(err);
      if (this.h.tree.close(this.run, error) === undefined) return;
      try {
        if (this.half !== "" && !this.run.hidden) this.h.outbox.putDelta(this, "text", this.half);
        this.h.tree.addUsage(this.used);
        this.h.tree.addCost(this.spent);
        if (this.run.hidden) return;
        if (error !== undefined) this.h.emitError(error, "llm", this.run, this.messageId);
        else this.h.emitData("thought", this.completed(typeof text === "string" ? text : ""));
      } finally {
        this.h.settle(this.run);
      }
    });
  }

  /** @param {string} text */
  completed(text) {
    const d = this.data("completed").value("content", this.content(text));
    if (typeof this.finish === "string") d.text("finish_reason", this.finish);
    d.raw("usage", usageJSON(this.used)).raw("cost", costJSON(this.spent));
    if (this.firstToken >= 0) d.millis("ttft_ms", this.firstToken);
    if (this.calls.length > 0) d.value("tool_calls", this.h.listField("thought", "tool_calls", this.calls));
    return d.millis("duration_ms", this.h.now() - this.run.began);
  }

  /**
   * @param {string} text
   * @returns {Encoded}
   */
  content(text) {
    const content = text || this.text;
    if (content === "") return nothing;
    const f = this.h.field("thought", "content", content);
    return !text && f.full > 0 ? { json: f.json, full: this.textBytes } : f;
  }
}

/** One call of a tool. Its methods never throw or block. */
export class ToolRun {
  /**
   * @param {Handler} h
   * @param {ToolInfo} info
   */
  constructor(h, info) {
    this.h = h;
    this.tool = String(info.tool ?? info.name ?? "");
    this.run = new Run(h, info, "tool", true, info.name || this.tool);
    this.callId = info.callId || this.run.id;
  }

  get id() {
    return this.run.id;
  }

  /** Begins the data of a tool event. */
  data() {
    return new Data().str("tool", this.tool).str("call_id", this.callId);
  }

  /**
   * Publishes the result of the call: its output, or an error, which does not
   * fail the job. The second end does nothing.
   * @param {unknown} [output]
   * @param {unknown} [err]
   */
  end(output, err) {
    this.h.guard("end", () => {
      const error = given(err);
      const value = error === undefined ? this.h.field("tool_result", "output", output ?? null) : nothing;
      const status = this.h.tree.close(this.run, error);
      if (status === undefined) return;
      try {
        if (!this.run.hidden && status !== "") this.h.emitData("tool_result", this.result(value, error));
      } finally {
        this.h.settle(this.run);
      }
    });
  }

  /**
   * @param {Encoded} value
   * @param {unknown} err
   */
  result(value, err) {
    const d = this.data();
    if (err === undefined) d.value("output", value);
    else this.h.explain("tool_result", err, this.run).addTo(d, "error_kind");
    return d.members(this.run.tree).millis("duration_ms", this.h.now() - this.run.began);
  }
}

/**
 * The error that was given: null, as callbacks of Node pass it, is none.
 * @param {unknown} err
 */
export function given(err) {
  return err === null ? undefined : err;
}

/**
 * @template {RunInfo} T
 * @param {string | T} info
 * @param {string} member  what a string stands for
 * @returns {T}
 */
export function named(info, member) {
  return typeof info === "string" ? /** @type {any} */ ({ [member]: info }) : (info ?? /** @type {any} */ ({}));
}

/**
 * @param {Handler} h
 * @param {Run | ModelRun | ToolRun | undefined} parent
 * @returns {Run | undefined}
 */
function parentOf(h, parent) {
  const run = parent instanceof ModelRun || parent instanceof ToolRun ? parent.run : parent;
  return run instanceof Run && run.h === h ? run : undefined;
}

/**
 * The members of the run's events that draw the tree.
 * @param {Run} r
 * @param {RunInfo} info
 */
function treeMembers(r, info) {
  let members = `"run_id":${r.idJSON}`;
  const parent = r.parent?.visible;
  if (parent) members += `,"parent_run_id":${parent.idJSON}`;
  if (r.name) members += `,"name":${r.nameJSON}`;
  if (r.kind) members += `,"kind":${quote(String(r.kind))}`;
  const { ns, step, attempt } = info;
  if (Array.isArray(ns) && ns.length > 0) members += `,"ns":[${ns.map((part) => quote(String(part))).join(",")}]`;
  if (Number.isInteger(step) && step !== 0) members += `,"step":${step}`;
  if (Number.isInteger(attempt) && attempt !== 0) members += `,"attempt":${attempt}`;
  return members;
}

/**
 * @param {string} id
 * @param {Encoded} value
 */
export function interruptJSON(id, value) {
  return `[{"id":${quote(id)}${value.json && `,"value":${value.json}`}}]`;
}

/** @param {Usage | undefined} u */
export function usageJSON(u) {
  if (!u) return "";
  const d = new Data().number("input_tokens", count(u.input_tokens)).number("output_tokens", count(u.output_tokens));
  if (count(u.cached_input_tokens)) d.number("cached_input_tokens", count(u.cached_input_tokens));
  if (count(u.cache_write_tokens)) d.number("cache_write_tokens", count(u.cache_write_tokens));
  if (count(u.reasoning_tokens)) d.number("reasoning_tokens", count(u.reasoning_tokens));
  return d.end();
}

/** @param {unknown} n */
function count(n) {
  return typeof n === "number" && Number.isFinite(n) ? Math.trunc(n) : 0;
}

/**
 * Digits to a billionth, so that sums of decimal fractions look like such.
 * @param {{amount: number, currency: string} | undefined} c
 */
export function costJSON(c) {
  if (!c) return "";
  const amount = Math.round(c.amount * 1e9) / 1e9;
  return new Data().number("amount", Number.isFinite(amount) ? amount : c.amount).text("currency", c.currency).end();
}

/** @param {{amount: number, currency: string}[]} sums */
export function costsJSON(sums) {
  return sums.length < 2 ? costJSON(sums[0]) : `[${sums.map(costJSON).join(",")}]`;
}

/** A new UUIDv7. */
export function newRunId() {
  const b = new Uint8Array(16);
  globalThis.crypto.getRandomValues(b);
  let ms = Date.now();
  for (let i = 5; i >= 0; i--, ms = Math.floor(ms / 256)) b[i] = ms % 256;
  b[6] = (b[6] & 0x0f) | 0x70;
  b[8] = (b[8] & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
