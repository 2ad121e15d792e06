/** The way of events to a server that is slow, away, full or unwilling. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { END, START, StateGraph } from "@langchain/langgraph";
import { HTTPPublisher, TidingsCallbackHandler, start } from "../src/index.js";
import { Notes, ScriptedModel, agent } from "./graphs.js";
import { TestServer, newJob, quiet, until } from "./server.js";

let server;
before(async () => {
  server = await TestServer.start();
});
after(() => server?.close());

const publisherTo = (url, options) => new HTTPPublisher(url, { logger: quiet(), ...options });

describe("a server that goes away", () => {
  test("in the middle of a graph's run: the agent goes on, and every event is there once, in order", async () => {
    const own = await TestServer.start();
    try {
      const jobId = newJob("outage");
      const publisher = publisherTo(own.url);
      const handler = new TidingsCallbackHandler(jobId, publisher);
      const pieces = Array.from({ length: 60 }, (_, i) => `${i} `);
      const model = new ScriptedModel([{ pieces, pauseMs: 2, calls: [{ id: "c1", name: "get_weather", args: { city: "Oslo" } }] }, { pieces, pauseMs: 2 }]);
      const graph = agent(model);
      const running = graph.invoke({ messages: [{ role: "user", content: "hi" }] }, { callbacks: [handler] });
      await until(() => handler.stats().sent > 4, "events were sent");
      await own.kill();
      await running; // although the server is away
      await until(() => handler.stats().retried >= 2, "it was tried again");
      assert.ok(handler.stats().queued > 0);
      await own.start();
      assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
      const { events, job } = await own.log(jobId);
      const deltas = events.filter((e) => e.data.status === "delta").map((e) => e.data.delta);
      assert.equal(deltas.join(""), pieces.join("") + pieces.join(""));
      assert.deepEqual(
        events.filter((e) => e.data.status !== "delta").map((e) => e.data.phase ?? e.data.tool ?? e.data.name ?? e.event_type),
        ["job", "LangGraph", "agent", "ScriptedModel", "ScriptedModel", "agent", "tools", "get_weather", "get_weather", "tools", "agent", "ScriptedModel", "ScriptedModel", "agent", "LangGraph", "done"],
      );
      assert.equal(job.status, "completed");
      assert.deepEqual([handler.stats().dropped, handler.stats().strays], [0, 0]);
    } finally {
      await own.close();
    }
  });

  test("for ten seconds in the middle of a run: the agent neither fails nor slows, and every event is there once, in order", { timeout: 120_000 }, async () => {
    const own = await TestServer.start();
    try {
      const jobId = newJob("ten-seconds");
      const publisher = publisherTo(own.url);
      const handler = new TidingsCallbackHandler(jobId, publisher);
      let back;
      const began = [];
      const step = async ({ notes }) => {
        began.push(performance.now());
        handler.job.custom("step", notes.length);
        if (notes.length === 5) {
          await own.kill();
          back = new Promise((resolve) => setTimeout(resolve, 10_000)).then(() => own.start());
        }
        await new Promise((resolve) => setTimeout(resolve, 200)); // the agent's work
        return { notes: [notes.length] };
      };
      const steps = 60;
      const graph = new StateGraph(Notes)
        .addNode("step", step)
        .addEdge(START, "step")
        .addConditionalEdges("step", ({ notes }) => (notes.length < steps ? "step" : END))
        .compile();
      const output = await graph.invoke({ notes: [] }, { callbacks: [handler], recursionLimit: steps + 5 });
      assert.equal(output.notes.length, steps);
      const slowest = Math.max(...began.slice(1).map((at, i) => at - began[i]));
      assert.ok(slowest < 5000, `far above noise, far below what a hanging server would cost: ${slowest} ms`);
      await back;
      assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
      const { events } = await own.log(jobId);
      const want = ["job started", "LangGraph started"];
      for (let i = 0; i < steps; i++) want.push("step started", `step ${i}`, "step completed");
      want.push("LangGraph completed", "done completed");
      assert.deepEqual(
        events.map(({ event_type: type, data: d }) => `${d.phase ?? d.name ?? type} ${d.status ?? d.value}`),
        want,
      );
      assert.ok(handler.stats().retried > 0);
      assert.deepEqual([handler.stats().dropped, handler.stats().strays], [0, 0]);
    } finally {
      await own.close();
    }
  });

  test("between an append and its answer: nothing is written twice", async () => {
    const proxy = await lossyProxy(server.url);
    try {
      const publisher = publisherTo(proxy.url);
      const job = start(newJob("lost-answers"), publisher);
      for (let i = 0; i < 200; i++) {
        job.custom("n", i);
        if (i % 20 === 19) assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      }
      job.end();
      assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      const { events } = await server.log(job.jobId);
      assert.deepEqual(events.filter((e) => e.event_type === "custom").map((e) => e.data.value), Array.from({ length: 200 }, (_, i) => i));
      assert.ok(proxy.lost() > 0, "answers were lost");
      assert.equal(job.stats().sent, 202);
    } finally {
      proxy.close();
    }
  });

  test("for longer than the queue holds: what is dropped is counted and told in its place", async () => {
    const own = await TestServer.start();
    try {
      const publisher = publisherTo(own.url, { queueBytes: 20_000 });
      const job = start(newJob("full"), publisher);
      job.custom("before", 0);
      assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      await own.kill();
      for (let i = 0; i < 500; i++) job.custom("n", "x".repeat(100));
      const run = job.model("fake");
      for (let i = 0; i < 500; i++) run.delta("y".repeat(100));
      job.end("the end");
      assert.ok(job.stats().dropped > 0);
      assert.ok(job.stats().queuedBytes < 40_000);
      await own.start();
      assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      const { events } = await own.log(job.jobId);
      const told = events.filter((e) => e.data.name === "tidings.dropped");
      const sum = told.reduce((n, e) => n + e.data.value.events, 0);
      assert.equal(sum, job.stats().dropped);
      assert.ok(told[0].data.value.bytes > 0 && !Number.isNaN(Date.parse(told[0].data.value.since)));
      assert.equal(events.at(-1).event_type, "done");
    } finally {
      await own.close();
    }
  });

  test("for ever: closing says what is lost", async () => {
    const gone = await TestServer.start();
    await gone.close();
    const publisher = publisherTo(gone.url);
    const job = start(newJob("gone"), publisher);
    job.custom("a", 1);
    assert.equal(await job.close({ timeoutMs: 50 }), false);
    assert.deepEqual([job.stats().dropped, job.stats().queued], [2, 0]);
    assert.equal(await publisher.close(), true);
    assert.equal(publisher.stats().dropped, 2);
  });
});

describe("a job", () => {
  test("is taken over by a later handler, and the earlier one told so", async () => {
    const publisher = publisherTo(server.url);
    const jobId = newJob("taken-over");
    const first = start(jobId, publisher);
    first.custom("first", 1);
    assert.equal(await first.flush({ timeoutMs: 60_000 }), true);
    const second = start(jobId, publisher);
    second.custom("second", 2);
    assert.equal(await second.flush({ timeoutMs: 60_000 }), true);
    first.custom("zombie", 3);
    assert.equal(await first.flush({ timeoutMs: 60_000 }), false);
    assert.equal(first.signal.aborted, true);
    assert.equal(first.signal.reason.type, "/problems/fenced");
    second.end();
    assert.equal(await second.close(), true);
    const { events } = await server.log(jobId);
    assert.deepEqual(events.filter((e) => e.event_type === "custom").map((e) => e.data.name), ["first", "second"]);
  });

  test("of an epoch that is started again goes on behind what is there", async () => {
    const publisher = publisherTo(server.url);
    const jobId = newJob("epoch");
    for (const n of [1, 2]) {
      const job = start(jobId, publisher, { epoch: 7, producerId: "worker" });
      job.custom("n", n);
      assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      await job.close();
    }
    const { events } = await server.log(jobId);
    assert.deepEqual(events.filter((e) => e.event_type === "custom").map((e) => e.data.value), [1, 2]);
  });

  test("that somebody else has ended takes nothing more", async () => {
    const publisher = publisherTo(server.url);
    const jobId = newJob("ended");
    const job = start(jobId, publisher);
    assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
    await fetch(`${server.url}/v1/jobs/${jobId}/events`, { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"event_type":"done"}' });
    job.custom("late", 1);
    await until(() => job.signal.aborted, "the handler knows");
    assert.equal(job.signal.reason.type, "/problems/closed");
    assert.ok(job.stats().strays > 0);
  });

  test("with an event that no server takes loses that one alone", async () => {
    const publisher = publisherTo(server.url);
    const job = start(newJob("unfit"), publisher, { maxFieldBytes: -1 });
    job.custom("before", 1);
    job.custom("huge", "x".repeat(2 << 20));
    job.custom("after", 2);
    job.end();
    assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
    const { events } = await server.log(job.jobId);
    assert.deepEqual(events.filter((e) => e.event_type === "custom").map((e) => e.data.name), ["before", "after"]);
    assert.equal(job.stats().dropped, 1);
  });

  test("with an impossible ID runs unobserved", async () => {
    const publisher = publisherTo(server.url);
    for (const id of ["", "a{b}", "x".repeat(256), "\ud800", "..", undefined]) {
      const job = start(id, publisher);
      job.phase("work").end();
      job.end();
      assert.equal(job.signal.aborted, false, "the agent does not notice");
      assert.equal(await job.close(), false);
    }
  });

  test("with a batch that a proxy finds too large goes on with smaller ones", async () => {
    const asked = [];
    const proxy = createServer(async (req, res) => {
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      const body = Buffer.concat(chunks).toString();
      if (!req.url.endsWith("/events")) return res.end("{}");
      const events = JSON.parse(body);
      asked.push(events.length);
      if (body.length > 600) res.writeHead(413, { "Content-Type": "text/html" }).end("<h1>413 Request Entity Too Large</h1>");
      else res.writeHead(201).end("{}");
    });
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    try {
      const job = start(newJob("proxied"), publisherTo(`http://127.0.0.1:${proxy.address().port}`));
      for (let i = 0; i < 8; i++) job.custom("n", "x".repeat(100));
      job.custom("huge", "x".repeat(1000));
      job.end();
      assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
      assert.deepEqual([job.stats().sent, job.stats().dropped], [10, 1], String(asked));
    } finally {
      proxy.close();
      proxy.closeAllConnections();
    }
  });

  test("that only waits for another root ends when it is closed", async () => {
    const publisher = publisherTo(server.url);
    const job = start(newJob("pending"), publisher, { automatic: true, graceMs: 600_000 });
    job.phase("root").end();
    assert.equal(await job.close({ timeoutMs: 60_000 }), true);
    assert.equal((await server.log(job.jobId)).job.status, "completed");
    const waits = start(newJob("waits"), publisher, { automatic: true });
    const root = waits.phase("root");
    root.interrupt("go on?");
    root.end();
    assert.equal(await waits.close({ timeoutMs: 60_000 }), true);
    assert.equal((await server.log(waits.jobId)).job.status, "waiting");
  });

  test("whose handler is used again after its end says so, once", async () => {
    const logger = quiet();
    const handler = new TidingsCallbackHandler(newJob("again"), publisherTo(server.url, { logger }));
    const graph = agent(new ScriptedModel([{ pieces: ["hi"] }]));
    for (let i = 0; i < 3; i++) await graph.invoke({ messages: ["hi"] }, { callbacks: [handler] });
    assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
    assert.ok(handler.stats().strays > 0);
    assert.equal(logger.lines.filter((l) => l.includes("each job needs a handler of its own")).length, 1);
    await handler.close();
  });

  test("ends with whatever a node throws", async () => {
    const publisher = publisherTo(server.url);
    const refuse = () => {
      throw new Error("not to be looked at");
    };
    const hostile = ["get", "has", "getPrototypeOf"].map((trap) => new Proxy(new Error("x"), { [trap]: refuse }));
    for (const thrown of [...hostile, new Proxy({}, { get: refuse, has: refuse, getPrototypeOf: refuse, ownKeys: refuse }), "text", 7, undefined, null, Object.create(null), { toString: 1 }]) {
      const handler = new TidingsCallbackHandler(newJob("thrown"), publisher);
      handler.handleChainStart({}, {}, "root");
      handler.handleChainStart({}, {}, "node", "root", ["graph:step:1"]);
      handler.handleToolStart({ name: "t" }, "{}", "tool", "node");
      handler.handleToolError(thrown, "tool");
      handler.handleChainError(thrown, "node");
      handler.handleChainError(thrown, "root");
      assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
      assert.equal((await server.log(handler.jobId)).job.status, "failed");
    }
  });

  test("without a publisher runs unobserved", async () => {
    const output = await start("nowhere", null).run((job) => job.phase("work", () => 7));
    assert.equal(output, 7);
    const handler = new TidingsCallbackHandler("nowhere", undefined);
    const answer = await agent(new ScriptedModel([{ pieces: ["hi"] }])).invoke({ messages: ["hi"] }, { callbacks: [handler], signal: handler.signal });
    assert.equal(answer.messages.at(-1).content, "hi");
    assert.equal(handler.stats().sent, 0);
  });

  test("has a lease while it runs", async () => {
    const publisher = publisherTo(server.url, { heartbeatMs: 20, leaseMs: 5_000 });
    const job = start(newJob("lease"), publisher);
    await until(async () => (await server.log(job.jobId)).job.lease_until, "the server holds a lease");
    job.end();
    assert.equal(await job.close(), true);
  });

  test("keeps labels, name and metadata", async () => {
    const publisher = publisherTo(server.url);
    const job = start(newJob("named"), publisher, { name: "report", labels: { env: "prod" }, metadata: { team: 7 } });
    job.end();
    assert.equal(await job.close(), true);
    const { job: told } = await server.log(job.jobId);
    assert.deepEqual([told.name, told.labels, told.metadata], ["report", { env: "prod" }, { team: 7 }]);
  });
});

test("tokens: asked for each time, and waited for while they are refused", async () => {
  const key = "0123456789abcdef0123";
  const own = await TestServer.start("--api-key", key);
  try {
    let token = "wrong-wrong-wrong-wrong";
    const publisher = publisherTo(own.url, { token: async () => token });
    const job = start(newJob("token"), publisher);
    job.end("x");
    await until(() => job.stats().retried > 0, "it was refused");
    token = key;
    assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
  } finally {
    await own.close();
  }
});

test("no secret reaches a log or an error", async () => {
  assert.throws(() => new HTTPPublisher("http://user:hunter2@127.0.0.1:1"), (err) => /no user and password/.test(err.message) && !err.message.includes("hunter2"));
  const logger = quiet();
  for (const token of ["s3cret", "s3cret\nX-Other: y", "s3cr\u{e9}t"]) {
    const publisher = new HTTPPublisher("http://127.0.0.1:1", { token, logger });
    const job = start(newJob("secret"), publisher);
    await until(() => job.stats().retried > 0, "it was tried again");
    assert.equal(await job.close({ timeoutMs: 1 }), false);
  }
  assert.ok(logger.lines.some((l) => l.includes("characters that no token has")));
  assert.ok(!logger.lines.some((l) => l.includes("s3cr")), logger.lines.join("\n"));
  const ends = new HTTPPublisher(server.url, { token: "t0ken\n", logger });
  const job = start(newJob("ends-its-line"), ends);
  job.end();
  assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
});

test("several jobs of one publisher go side by side; flush and close are of all", async () => {
  const publisher = publisherTo(server.url);
  const jobs = Array.from({ length: 20 }, () => start(newJob("many"), publisher));
  for (let i = 0; i < 50; i++) for (const job of jobs) job.custom("n", i);
  for (const job of jobs) job.end();
  assert.equal(await publisher.flush({ timeoutMs: 60_000 }), true);
  assert.equal(publisher.stats().sent, 20 * 52);
  assert.equal(await publisher.close(), true);
  const late = start(newJob("late"), publisher);
  late.end();
  assert.equal(await late.flush(), false);
});

test("callbacks of a whole process end with it: no handle is left open", async () => {
  const { execFile } = await import("node:child_process");
  const { promisify } = await import("node:util");
  const jobId = newJob("process");
  // One ends by itself, one waits for input, one is never ended by its user.
  const script = `
    import { HTTPPublisher, start } from ${JSON.stringify(new URL("../src/index.js", import.meta.url).href)};
    const publisher = new HTTPPublisher(${JSON.stringify(server.url)});
    const job = start(${JSON.stringify(jobId)}, publisher, { automatic: true });
    const root = job.phase("root");
    root.end();
    const waiting = start(${JSON.stringify(jobId + "-waits")}, publisher, { automatic: true });
    const asking = waiting.phase("root");
    asking.interrupt("go on?");
    asking.end();
    start(${JSON.stringify(jobId + "-forgotten")}, publisher).phase("work");
  `;
  await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { timeout: 60_000 });
  assert.equal((await server.log(jobId)).job.status, "completed");
  assert.equal((await server.log(jobId + "-waits")).job.status, "waiting");
  assert.equal((await server.log(jobId + "-forgotten")).job.status, "running");
});

/** Passes requests on and loses every third answer to an append. */
async function lossyProxy(url) {
  let n = 0;
  let lost = 0;
  const proxy = createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const { host, connection, "content-length": length, ...headers } = req.headers;
    void [host, connection, length];
    const answer = await fetch(url + req.url, { method: req.method, headers, body: chunks.length ? Buffer.concat(chunks) : undefined }).catch(() => undefined);
    if (!answer || (req.method === "POST" && req.url.endsWith("/events") && n++ % 3 === 2)) {
      lost++;
      return req.socket.destroy();
    }
    res.writeHead(answer.status, { "Content-Type": answer.headers.get("Content-Type") ?? "" });
    if (answer.headers.get("Content-Type")?.startsWith("text/event-stream")) return res.end();
    res.end(await answer.text());
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    lost: () => lost,
    close: () => {
      proxy.close();
      proxy.closeAllConnections();
    },
  };
}
