import { Data } from "./data.js";
import { RawJSON, encode, nothing } from "./encode.js";
import { cancelRequest, errorKind, isAborted, textOf } from "./errors.js";
import { badJobId } from "./http.js";
import { Outbox } from "./outbox.js";
import { ModelRun, Run, ToolRun, costsJSON, given, interruptJSON, named, usageJSON } from "./runs.js";
import { byteLength, quote } from "./text.js";
import { Tree } from "./tree.js";

/** @typedef {import("./encode.js").Encoded} Encoded */
/** @typedef {import("./runs.js").RunInfo} RunInfo */

/**
 * What a handler needs of a publisher.
 * @typedef {object} Publisher
 * @property {(jobId: string, options?: import("./publisher.js").JobOptions) => import("./outbox.js").Outbox} open
 */

/**
 * Settings of a handler; every one may be left out.
 * @typedef {object} HandlerOptions
 * @property {string} [name]  of the job in listings
 * @property {Record<string, string>} [labels]
 * @property {Record<string, unknown>} [metadata]
 * @property {boolean} [automatic]  end the job when its root run has ended; false, but in callback handlers of frameworks
 * @property {number} [graceMs]  how long an automatic end waits for another root run; 0
 * @property {number} [streamWaitMs]  how long it waits for runs and streams that are open when the root has ended; 10,000
 * @property {number} [maxFieldBytes]  from which an input, output, content or other value is cut; 65,536; 0: never
 * @property {(eventType: string, field: string, value: any) => unknown} [redact]  sees every value before it is cut and gives what to publish in its place
 * @property {AbortSignal} [signal]  when it ends, the handler's own does
 * @property {string} [producerId]  the writer's name within the job; "callback"
 * @property {number} [epoch]  of the writer: a higher one takes the job over, as the attempt of a task queue; the Unix time in milliseconds
 * @property {import("./outbox.js").Logger} [logger]  takes warnings; that of the publisher
 * @property {Clock} [clock]  for tests
 */

/**
 * @typedef {object} Clock
 * @property {() => number} now
 * @property {(fn: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 */

/** @type {Clock} */
const realClock = {
  now: () => performance.now(),
  setTimeout: (fn, ms) => setTimeout(fn, Math.min(ms, 2 ** 31 - 1)),
  clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * Takes no event.
 * @type {Publisher}
 */
const nowhere = {
  open(jobId, { logger = console } = {}) {
    const reject = () => Promise.reject(new Error("there is no publisher"));
    const outbox = new Outbox({ append: reject, heartbeat: reject, awaitCancel: reject }, jobId, {
      producerId: "", epoch: 0, queueBytes: 0, coalesceMs: 0, heartbeatMs: -1, leaseMs: 0, tryTimeoutMs: 0, lingerMs: 0, logger,
    });
    outbox.queue.refuse(new Error("there is no publisher"));
    outbox.finish();
    return outbox;
  },
};

/** What an event tells of an error. */
class Failure {
  /**
   * @param {Encoded} text
   * @param {string | undefined} cause  the run that told of the error first
   * @param {string} kind
   */
  constructor(text, cause, kind) {
    this.text = text;
    this.cause = cause;
    this.kind = kind;
  }

  /**
   * @param {Data} d
   * @param {string} kindName
   */
  addTo(d, kindName) {
    return d.value("error", this.text).text("cause_run_id", this.cause).text(kindName, this.kind);
  }
}

/**
 * Tells the story of one job while it runs: a callback handler without a
 * framework. Its methods take a snapshot of their input and put an event into a
 * queue, from which it is appended in order and once. They never throw or wait.
 */
export class Handler {
  /**
   * @param {string} jobId
   * @param {Publisher | null | undefined} publisher  none: the job runs unobserved
   * @param {HandlerOptions} [options]
   */
  constructor(jobId, publisher, options = {}) {
    this.jobId = jobId;
    this.options = {
      automatic: options.automatic ?? false,
      graceMs: options.graceMs || 0,
      streamWaitMs: options.streamWaitMs ?? 10_000,
      maxFieldBytes: options.maxFieldBytes ?? 64 << 10,
      redact: options.redact,
    };
    this.clock = options.clock ?? realClock;
    this.began = this.now();
    this.listens = false; // somebody asked for the signal
    this.warned = false; // that something began after the end
    this.tree = new Tree();
    /** @type {any} */
    this.timer = undefined;
    this.outbox = (publisher ?? nowhere).open(jobId, { producerId: options.producerId, epoch: options.epoch, logger: options.logger });
    this.log = this.outbox.log;
    const bad = badJobId(jobId);
    if (bad) this.outbox.unobserved(bad);
    this.follow(options.signal);
    this.guard("start", () => this.begun(options));
  }

  /**
   * Ends when the job is asked to stop, when another handler takes it over or has
   * ended it, and at close. Whoever asks for it hears of a request to stop at once,
   * over a connection of its own while runs are open (without `automatic`: until the
   * job is ended or closed); else a heartbeat says so.
   */
  get signal() {
    this.listens = true;
    this.watch();
    return this.outbox.stop.signal;
  }

  /** Listens for a request to stop while somebody wants to know of it. */
  watch() {
    this.outbox.watch(this.listens && (!this.options.automatic || this.tree.open > 0));
  }

  now() {
    return this.clock.now();
  }

  /** @param {AbortSignal | undefined} signal */
  follow(signal) {
    if (!signal) return;
    const { stop } = this.outbox;
    const end = () => stop.abort(signal.reason);
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true, signal: stop.signal });
  }

  /** @param {HandlerOptions} options */
  begun(options) {
    const d = new Data().str("phase", "job").str("status", "started").text("name", options.name);
    if (options.labels && Object.keys(options.labels).length > 0) d.raw("labels", labelsJSON(options.labels));
    if (options.metadata && Object.keys(options.metadata).length > 0) d.value("metadata", this.whole("phase_update", "metadata", options.metadata));
    this.emitData("phase_update", d);
  }

  /**
   * Calls what must not reach the agent if it throws.
   * @template T
   * @param {string} method
   * @param {() => T} fn
   * @returns {T | undefined}
   */
  guard(method, fn) {
    try {
      return fn();
    } catch (err) {
      try {
        this.log.error(`tidings: ${method} has failed; its event of job ${this.jobId} is lost: ${textOf(err)}`);
      } catch {
        // a logger that throws is no trouble of the agent
      }
      return undefined;
    }
  }

  // --- runs ------------------------------------------------------------------

  /**
   * Starts a phase of the job. With fn, it ends when fn does, with its error if it
   * throws.
   * @overload
   * @param {string | RunInfo} info  the name, or all about it
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
    const i = named(info, "name");
    const run = this.guard("phase", () => new Run(this, i, "chain", i.leaf === true)) ?? new Run(this, {}, "chain", false);
    this.guard("phase", () => {
      const status = this.enter(run, i.resumed === true);
      if (run.hidden) return;
      const d = run.data(status).value("input", this.field("phase_update", "input", i.input));
      if (status === "resumed") d.value("value", this.field("phase_update", "value", i.value));
      this.emitData("phase_update", d);
    });
    return fn ? within(() => fn(run), (_, err) => run.end(err)) : run;
  }

  /**
   * Starts a call of a model. End it.
   * @param {string | import("./runs.js").ModelInfo} info  the model, or all about the call
   */
  model(info) {
    const i = typeof info === "string" ? { model: info, name: info } : info;
    const m = this.guard("model", () => new ModelRun(this, i)) ?? new ModelRun(this, {});
    this.guard("model", () => {
      this.enter(m.run, false);
      if (!m.run.hidden) this.emitData("thought", m.data("started").value("input", this.field("thought", "input", i.input)));
    });
    return m;
  }

  /**
   * Publishes that a tool is called. End the call that it returns.
   * @param {string | import("./runs.js").ToolInfo} info  the tool, or all about the call
   */
  toolStart(info) {
    const i = named(info, "tool");
    const t = this.guard("toolStart", () => new ToolRun(this, i)) ?? new ToolRun(this, {});
    this.guard("toolStart", () => {
      const d = t.data().value("input", this.field("tool_call", "input", i.input));
      this.enter(t.run, false);
      if (!t.run.hidden) this.emitData("tool_call", d.members(t.run.tree));
    });
    return t;
  }

  /**
   * Calls fn, a tool, and publishes the call and its result.
   * @template T
   * @param {string | import("./runs.js").ToolInfo} info
   * @param {(tool: ToolRun) => T | Promise<T>} fn
   * @returns {Promise<T>}
   */
  tool(info, fn) {
    const t = this.toolStart(info);
    return within(() => fn(t), (output, err) => t.end(output, err));
  }

  /**
   * @param {Run} run
   * @param {boolean} resumed
   */
  enter(run, resumed) {
    if (run.isRoot && this.tree.over && !this.warned) this.warnOfReuse();
    const status = this.tree.enter(run);
    if (run.isRoot) this.stopTimer();
    this.watch();
    run.resumed = resumed || status === "resumed";
    return run.resumed ? "resumed" : status;
  }

  /** Says, once, that something begins after the end. */
  warnOfReuse() {
    this.warned = true;
    this.log.warn(
      `tidings: job ${this.jobId} has ended, and what begins in it now is not published: each job needs a handler of its own; ` +
        "if several graphs are one job, set automatic: false and end it yourself",
    );
  }

  /** Takes the ended run out of the tree, and ends the job if that is due.
   * @param {Run} run */
  settle(run) {
    this.tree.leave(run);
    this.watch();
    this.considerEnd();
  }

  // --- events ----------------------------------------------------------------

  /**
   * Publishes anything that the agent wants to say.
   * @param {string} name
   * @param {unknown} [value]
   * @param {Run | ModelRun | ToolRun} [run]
   */
  custom(name, value, run) {
    this.guard("custom", () => {
      const d = new Data().str("name", String(name)).value("value", this.field("custom", "value", value));
      this.emitData("custom", placed(d, run));
    });
  }

  /** Publishes a snapshot of the state of the job, or of one run of it.
   * @param {unknown} snapshot
   * @param {Run | ModelRun | ToolRun} [run] */
  state(snapshot, run) {
    this.guard("state", () => this.emitData("state", placed(new Data().value("snapshot", this.field("state", "snapshot", snapshot)), run)));
  }

  /** Publishes a change of the state: a JSON Patch (RFC 6902).
   * @param {unknown} patch
   * @param {Run | ModelRun | ToolRun} [run] */
  statePatch(patch, run) {
    this.guard("statePatch", () => this.emitData("state", placed(new Data().value("patch", this.field("state", "patch", patch)), run)));
  }

  /**
   * Publishes an error that does not end the job.
   * @param {unknown} err
   * @param {"job" | "chain" | "tool" | "llm"} [scope]
   * @param {Run | ModelRun | ToolRun} [run]
   */
  error(err, scope = "chain", run) {
    if (given(err) === undefined) return;
    this.guard("error", () => this.emitError(err, scope, runOf(run)?.visible, ""));
  }

  /** Says that the whole job waits for input; value is what it asks for.
   * @param {unknown} [value] */
  interrupt(value) {
    this.guard("interrupt", () => {
      const v = this.field("phase_update", "value", value);
      this.emitData("phase_update", new Data().str("phase", "job").str("status", "interrupted").raw("interrupts", interruptJSON("job", v)).note("value", v));
    });
  }

  /** Says that the job goes on after an interrupt; value is the answer.
   * @param {unknown} [value] */
  resume(value) {
    this.guard("resume", () => {
      this.emitData("phase_update", new Data().str("phase", "job").str("status", "resumed").value("value", this.field("phase_update", "value", value)));
    });
  }

  /**
   * Publishes an event as it is. A terminal one ends the job.
   * @param {{event_type: string, data?: unknown, timestamp?: string | Date}} event
   */
  emit(event) {
    this.guard("emit", () => {
      const type = event?.event_type;
      if (typeof type !== "string" || type === "" || byteLength(type) > 64) {
        this.outbox.queue.dropped++;
        this.log.error(`tidings: an event of job ${this.jobId} is dropped: event_type is a string of 1 to 64 bytes`);
        return;
      }
      const json = event.data === undefined ? "{}" : encode(event.data, 0).json;
      const at = event.timestamp === undefined ? Date.now() : new Date(event.timestamp).getTime() || Date.now();
      if (!isTerminal(type, json)) return this.outbox.put(type, json, false, at);
      this.tree.over = true;
      this.stopTimer();
      this.outbox.put(type, json, true, at);
    });
  }

  /**
   * @param {string} type
   * @param {Data} d
   */
  emitData(type, d) {
    this.outbox.put(type, d.end());
  }

  /**
   * @param {unknown} err
   * @param {string} scope
   * @param {Run | undefined} run
   * @param {string} messageId
   */
  emitError(err, scope, run, messageId) {
    const d = this.explain("error", err, run).addTo(new Data(), "kind").text("scope", scope).raw("fatal", "false").text("message_id", messageId);
    this.emitData("error", placed(d, run));
  }

  // --- values ----------------------------------------------------------------

  /**
   * A snapshot of the value for the field of an event: redacted, and cut if it is
   * too large. Undefined is left out.
   * @param {string} eventType
   * @param {string} name
   * @param {unknown} value
   * @returns {Encoded}
   */
  field(eventType, name, value) {
    if (value === undefined) return nothing;
    const { redact, maxFieldBytes } = this.options;
    if (!redact) return encode(value, maxFieldBytes);
    return encode(this.redacted(eventType, name, value), maxFieldBytes);
  }

  /**
   * A list whose elements are JSON already.
   * @param {string} eventType
   * @param {string} name
   * @param {string[]} elements
   * @returns {Encoded}
   */
  listField(eventType, name, elements) {
    const json = `[${elements.join(",")}]`;
    const { redact, maxFieldBytes } = this.options;
    if (!redact && (maxFieldBytes <= 0 || json.length * 3 <= maxFieldBytes)) return { json, full: 0 };
    return this.field(eventType, name, new RawJSON(json));
  }

  /**
   * A value that is never cut.
   * @param {string} eventType
   * @param {string} name
   * @param {unknown} value
   */
  whole(eventType, name, value) {
    return encode(this.options.redact ? this.redacted(eventType, name, value) : value, 0);
  }

  /**
   * What the hook makes of the value. One that it could not look at is not
   * published.
   * @param {string} eventType
   * @param {string} name
   * @param {unknown} value
   */
  redacted(eventType, name, value) {
    try {
      const snapshot = typeof value === "string" ? value : JSON.parse(encode(value, 0).json);
      return this.options.redact?.(eventType, name, snapshot) ?? null;
    } catch (err) {
      this.log.error(`tidings: the redaction hook has failed; ${name} of ${eventType} is left out: ${textOf(err)}`);
      return "[left out: the redaction hook failed]";
    }
  }

  /**
   * The data of a delta.
   * @param {ModelRun} m
   * @param {string} channel
   * @param {string} text
   */
  deltaData(m, channel, text) {
    const delta = this.options.redact ? this.whole("thought", "delta", text).json : quote(text);
    return `{"status":"delta","channel":${quote(channel)},"delta":${delta},${m.place}}`;
  }

  /**
   * How the event that ends run tells of err: by its text the first time,
   * afterwards by the run that told of it.
   * @param {string} eventType
   * @param {unknown} err
   * @param {Run | undefined} run
   */
  explain(eventType, err, run) {
    const text = textOf(err);
    const cause = this.tree.cause(err, text, run);
    return new Failure(cause === undefined ? this.field(eventType, "error", text) : nothing, cause, errorKind(err));
  }

  // --- the end ---------------------------------------------------------------

  /**
   * Ends the job: done with output if there is no error, cancelled if the error
   * says that work was broken off and the job was asked to stop, and a fatal error
   * otherwise. What comes afterwards is dropped and counted.
   * @param {unknown} [output]
   * @param {unknown} [err]
   */
  end(output, err) {
    const error = given(err);
    this.guard("end", () => this.finish(error === undefined ? this.field("done", "output", output) : nothing, error));
  }

  /**
   * Queues the terminal event, once.
   * @param {Encoded} output
   * @param {unknown} err
   */
  finish(output, err) {
    if (this.tree.over) return this.outbox.stray();
    this.tree.over = true;
    this.stopTimer();
    const asked = cancelRequest(err) ?? this.outbox.asked;
    if (err === undefined) {
      this.terminal("done", new Data().str("status", "completed").value("output", output));
    } else if (asked && brokenOff(err)) {
      this.terminal("cancelled", new Data().text("reason", asked.reason).text("by", asked.by));
    } else {
      const f = this.explain("error", err, undefined);
      if (f.cause !== undefined) f.text = this.field("error", "error", textOf(err));
      this.terminal("error", f.addTo(new Data(), "kind").text("scope", "job").raw("fatal", "true"));
    }
  }

  /**
   * @param {string} type
   * @param {Data} d
   */
  terminal(type, d) {
    d.millis("duration_ms", this.now() - this.began).raw("usage", usageJSON(this.tree.usage)).raw("cost", costsJSON(this.tree.costs));
    this.outbox.put(type, d.end(), true);
  }

  /** Ends the job if its root has, or sets a timer for when what has to be waited for is over. */
  considerEnd() {
    const t = this.tree;
    if (!this.options.automatic || t.over || t.roots > 0 || !t.lastRoot || t.suspended) return;
    let wait = this.options.graceMs;
    if (t.open > 0) {
      if (this.timer !== undefined) return; // it counts from the root's end
      wait = this.options.streamWaitMs;
    }
    this.stopTimer();
    if (wait <= 0) return this.automaticEnd();
    this.timer = this.clock.setTimeout(() => this.automaticEnd(), wait);
  }

  stopTimer() {
    if (this.timer !== undefined) this.clock.clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Ends the job as its last root ended. */
  automaticEnd() {
    this.guard("automatic end", () => {
      const root = this.tree.lastRoot;
      if (root) this.finish(root.told, this.tree.failure);
    });
  }

  /**
   * Calls fn as the job: ends it with what fn returns or throws, and waits until
   * everything is stored, for at most 10 s.
   * @template T
   * @param {(job: Handler) => T | Promise<T>} fn
   * @returns {Promise<T>}
   */
  async run(fn) {
    try {
      const output = await within(() => fn(this), (output, err) => this.end(output, err));
      return output;
    } finally {
      await this.close();
    }
  }

  /**
   * Waits until everything that was published before is stored; false: it is not
   * in that time, or the server refuses it.
   * @param {{timeoutMs?: number}} [options]  30,000
   */
  flush({ timeoutMs = 30_000 } = {}) {
    return this.outbox.flush(timeoutMs);
  }

  /**
   * Sends what is queued and releases the handler. What can't be sent in that time
   * is dropped; false says so. It does not end the job, unless an automatic end only
   * waits for streams or another root: see end.
   * @param {{timeoutMs?: number}} [options]  10,000
   */
  async close({ timeoutMs = 10_000 } = {}) {
    const pending = this.timer !== undefined;
    this.stopTimer();
    if (pending) this.automaticEnd();
    return this.outbox.close(timeoutMs);
  }

  /** The handler's counters. */
  stats() {
    return this.outbox.stats();
  }
}

/**
 * Begins to tell of a job: publishes that it has started, and sends heartbeats
 * until it ends or the handler is closed. Starting a job again, after an
 * interrupt or a crash, goes on with its log and takes it over from an earlier
 * handler.
 * @param {string} jobId
 * @param {Publisher | null | undefined} publisher  none: the job runs unobserved
 * @param {HandlerOptions} [options]
 */
export function start(jobId, publisher, options) {
  return new Handler(jobId, publisher, options);
}

/**
 * Calls fn and then end with what it returned or threw.
 * @template T
 * @param {() => T | Promise<T>} fn
 * @param {(output: T | undefined, err: unknown) => void} end
 * @returns {Promise<T>}
 */
async function within(fn, end) {
  let output;
  try {
    output = await fn();
  } catch (err) {
    end(undefined, err ?? new Error(String(err)));
    throw err;
  }
  end(output, undefined);
  return output;
}

/** @param {Run | ModelRun | ToolRun | undefined} run */
function runOf(run) {
  return run instanceof ModelRun || run instanceof ToolRun ? run.run : run;
}

/**
 * Adds where in the tree an event belongs whose own members use the names of the
 * tree's others.
 * @param {Data} d
 * @param {Run | ModelRun | ToolRun | undefined} run
 */
function placed(d, run) {
  const r = runOf(run)?.visible;
  if (!r) return d;
  return d.str("run_id", r.id).text("parent_run_id", r.parent?.visible?.id);
}

/** @param {Record<string, string>} labels */
function labelsJSON(labels) {
  return encode(Object.fromEntries(Object.entries(labels).map(([k, v]) => [k, String(v)])), 0).json;
}

/**
 * Whether the error says that work was broken off. Errors that crossed a
 * framework often keep no more than their text.
 * @param {unknown} err
 */
function brokenOff(err) {
  return isAborted(err) || /\babort(ed)?\b|\bcancell?ed\b/i.test(textOf(err));
}

/**
 * @param {string} type
 * @param {string} json
 */
function isTerminal(type, json) {
  if (type === "done" || type === "cancelled") return true;
  return type === "error" && json.includes('"fatal"') && JSON.parse(json)?.fatal === true;
}

