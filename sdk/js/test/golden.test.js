/** The callback cases of testdata/callbacks, which handlers in every language pass. */

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { HTTPPublisher, RawJSON, start } from "../src/index.js";
import { TestServer, newJob, root, until } from "./server.js";
import { digits, parseExactly } from "./json.js";

const folder = join(root, "testdata", "callbacks");
const files = (await readdir(folder)).filter((f) => f.endsWith(".json"));

let server;
let publisher;
before(async () => {
  server = await TestServer.start();
  publisher = new HTTPPublisher(server.url, { logger: { warn() {}, error() {} } });
});
after(async () => {
  await publisher?.close();
  await server?.close();
});

for (const file of files) {
  test(`callback case ${file}`, { concurrency: true }, async () => {
    const c = parseExactly(await readFile(join(folder, file), "utf8"));
    const got = await play(c);
    assert.deepEqual(got.events, joinDeltas(c.events.map(digits)), c.about);
    assert.equal(got.status, c.status);
    assert.equal(got.strays, Number(c.strays?.text ?? 0));
  });
}

/** Time that passes only when it is told to. */
class VirtualClock {
  time = 0;
  timers = new Set();
  now = () => this.time;
  setTimeout = (fn, ms) => {
    const timer = { at: this.time + ms, fn };
    this.timers.add(timer);
    return timer;
  };
  clearTimeout = (timer) => this.timers.delete(timer);

  advance(ms) {
    const end = this.time + ms;
    for (;;) {
      const due = [...this.timers].filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers.delete(due);
      this.time = due.at;
      due.fn();
    }
    this.time = end;
  }
}

/** Runs the callbacks and gives what was published. */
async function play(c) {
  const clock = new VirtualClock();
  const o = digits(c.options ?? {});
  const jobId = newJob("case");
  const job = start(jobId, publisher, {
    name: o.name,
    labels: o.labels,
    metadata: c.options?.metadata && new Raw(c.options.metadata),
    automatic: o.automatic,
    graceMs: num(o.grace_ms),
    streamWaitMs: num(o.stream_wait_ms),
    maxFieldBytes: num(o.max_field_bytes),
    clock,
  });
  const player = new Player(job, jobId, clock);
  for (const step of c.callbacks) await player.do(step);
  // Nothing waits for the clock when it is closed but an end that is due: the
  // handler in Go waits for it on its virtual clock, too.
  assert.equal(await job.close({ timeoutMs: 60_000 }), true);
  const { text, job: summary } = await server.log(jobId);
  const events = parseExactly(text).events.map((e) => digits({ event_type: e.event_type, data: e.data }));
  return { events: joinDeltas(events), status: summary.status, strays: job.stats().strays };
}

/** JSON of the file as it is written. */
class Raw extends RawJSON {
  constructor(value) {
    super(write(value));
    this.kept = true; // an object with members
  }
}

function write(value) {
  return JSON.stringify(digits(value)).replace(/"\u{1F522}([^"]*)"/gu, "$1");
}

const num = (v) => (v === undefined ? undefined : Number(String(v).replace(/^\u{1F522}/u, "")));
const raw = (v) => (v === undefined ? undefined : new RawJSON(write(v)));

class Player {
  runs = new Map();
  models = new Map();
  tools = new Map();
  errors = new Map();

  constructor(job, jobId, clock) {
    this.job = job;
    this.jobId = jobId;
    this.clock = clock;
  }

  async do(exact) {
    const s = digits(exact);
    const value = raw(exact.value);
    const run = this.runs.get(s.run);
    const model = this.models.get(s.run);
    switch (s.do) {
      case "run_start":
        return this.runs.set(s.run, this.job.phase(this.info(exact)));
      case "model_start": {
        const m = this.job.model({ ...this.info(exact), model: s.model, messageId: s.message_id });
        return this.models.set(s.run, m) && this.runs.set(s.run, m.run);
      }
      case "tool_start": {
        const t = this.job.toolStart({ ...this.info(exact), tool: s.tool, callId: s.call_id });
        return this.tools.set(s.run, t) && this.runs.set(s.run, t.run);
      }
      case "run_progress":
        return run.progress(num(s.progress) ?? 0, s.message);
      case "run_output":
        return run.output(raw(exact.output));
      case "run_interrupt":
        return run.interrupt(value);
      case "run_resume":
        return run.resume(value);
      case "run_end":
        return run.end(this.error(s.error));
      case "model_delta":
        return model.delta(s.text, s.channel);
      case "model_usage":
        return model.usage(Object.fromEntries(Object.entries(s.usage).map(([k, v]) => [k, num(v)])));
      case "model_cost":
        return model.cost(num(s.amount) ?? 0, s.currency);
      case "model_tool_call":
        return model.toolCall(s.call_id, s.tool, raw(exact.input));
      case "model_end":
        model.finishReason(s.finish_reason);
        return model.end(s.text, this.error(s.error));
      case "tool_end":
        return this.tools.get(s.run).end(raw(exact.output), this.error(s.error));
      case "custom":
        return run ? run.custom(s.name, value) : this.job.custom(s.name, value);
      case "state":
        return run ? run.state(value) : this.job.state(value);
      case "state_patch":
        return run ? run.statePatch(value) : this.job.statePatch(value);
      case "error":
        return this.job.error(this.error(s.error), s.scope, run);
      case "interrupt":
        return this.job.interrupt(value);
      case "resume":
        return this.job.resume(value);
      case "emit":
        return this.job.emit({ event_type: s.event_type, data: raw(exact.data) });
      case "wait":
        this.clock.advance(num(s.ms));
        return this.job.flush(); // deltas that waited are on their way by then
      case "cancel_requested":
        return this.cancelRequested(s);
      case "end":
        return this.job.end(raw(exact.output), this.error(s.error));
    }
    throw new Error(`unknown callback ${s.do}`);
  }

  info(exact) {
    const s = digits(exact);
    const parent = s.parent && this.runs.get(s.parent);
    assert.ok(!s.parent || parent, `no run ${s.parent} was started`);
    return { id: s.run, name: s.name, kind: s.kind, ns: s.ns, step: num(s.step), attempt: num(s.attempt), hidden: s.hidden, input: raw(exact.input), parent };
  }

  error(e) {
    if (!e) return undefined;
    if (e.id && this.errors.has(e.id)) return this.errors.get(e.id);
    let err = new Error(e.message, e.wraps ? { cause: this.errors.get(e.wraps) } : undefined);
    if (e.cancel) err = new DOMException(e.message, "AbortError");
    if (e.timeout) err = new DOMException(e.message, "TimeoutError");
    if (e.kind) {
      err = new Error(e.message, { cause: e.cancel || e.timeout ? err : err.cause });
      err.name = e.kind;
    }
    if (e.id) this.errors.set(e.id, err);
    return err;
  }

  /** Somebody else asks the job to stop, after everything until now was stored. */
  async cancelRequested(s) {
    assert.equal(await this.job.flush({ timeoutMs: 60_000 }), true);
    const answer = await fetch(`${server.url}/v1/jobs/${this.jobId}/events`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ event_type: "cancel_requested", data: { by: s.by ?? "", reason: s.reason ?? "" } }),
    });
    assert.equal(answer.status, 201);
    await until(() => this.job.signal.aborted, "the handler knows of the request to stop");
    assert.equal(this.job.signal.reason.name, "CancelRequestedError");
  }
}

/** Joins neighbouring deltas of one stream: how many they are is a matter of time. */
function joinDeltas(events) {
  const out = [];
  for (const e of events) {
    const last = out.at(-1)?.data;
    const d = e.data;
    if (d?.status === "delta" && last?.status === "delta" && last.run_id === d.run_id && last.channel === d.channel) last.delta += d.delta;
    else out.push(structuredClone(e));
  }
  return out;
}
