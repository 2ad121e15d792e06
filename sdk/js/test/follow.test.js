/** Watching a job: history, live, resume, and what is said about the stream. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { HTTPPublisher, ServerError, cancel, follow, start, watch } from "../src/index.js";
import { SSEParser } from "../src/sse.js";
import { TestServer, newJob, quiet, until } from "./server.js";

let server;
let publisher;
before(async () => {
  server = await TestServer.start();
  publisher = new HTTPPublisher(server.url, { logger: quiet() });
});
after(async () => {
  await publisher?.close();
  await server?.close();
});

const append = async (jobId, ...events) => {
  const answer = await fetch(`${server.url}/v1/jobs/${jobId}/events`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(events.map(([event_type, data]) => ({ event_type, data }))),
  });
  assert.equal(answer.status, 201);
};

/** Everything that comes. */
async function all(stream) {
  const list = [];
  for await (const e of stream) list.push(e);
  return list;
}

describe("follow", () => {
  test("gives history and then live events, until the job ends", async () => {
    const job = start(newJob("follow"), publisher);
    job.custom("n", 0);
    await job.flush();
    const seen = [];
    for await (const e of follow(server.url, job.jobId)) {
      seen.push(e);
      if (e.event_type !== "custom") continue;
      if (e.data.value < 20) job.custom("n", e.data.value + 1);
      else job.end();
    }
    assert.deepEqual(seen.map((e) => e.event_type), ["phase_update", ...Array(21).fill("custom"), "done"]);
    assert.deepEqual(seen.slice(1, -1).map((e) => e.data.value), Array.from({ length: 21 }, (_, i) => i));
    assert.ok(seen.every((e) => e.cursor.startsWith(e.id + "~") && e.job_id === job.jobId && !Number.isNaN(Date.parse(e.timestamp))));
    assert.deepEqual(await all(follow(server.url, job.jobId, { after: seen.at(-1).cursor })), []);
    assert.deepEqual((await all(follow(server.url, job.jobId, { after: seen.at(-2).cursor }))).map((e) => e.event_type), ["done"]);
    assert.deepEqual((await all(follow(server.url, job.jobId, { after: seen.at(-3).id }))).length, 2);
    assert.deepEqual((await all(follow(server.url, job.jobId, { types: ["done"] }))).map((e) => e.event_type), ["done"]);
  });

  test("goes on behind a server that was killed, without a gap or a repetition", async () => {
    const own = await TestServer.start();
    try {
      const ownPublisher = new HTTPPublisher(own.url, { logger: quiet() });
      const job = start(newJob("resume"), ownPublisher);
      await job.flush({ timeoutMs: 60_000 });
      const seen = [];
      const controls = [];
      let killed;
      for await (const e of follow(own.url, job.jobId)) {
        if (e.control) controls.push(e.control);
        else if (e.event_type === "custom") seen.push(e.data.value);
        if (seen.length === 0 && controls.length === 0) for (let i = 0; i < 10; i++) job.custom("n", i);
        if (seen.length === 10 && !killed) {
          killed = own.kill().then(async () => {
            await until(() => controls.includes("disconnected"), "the follower noticed");
            await own.start();
            for (let i = 10; i < 20; i++) job.custom("n", i);
            job.end();
          });
        }
      }
      await killed;
      assert.deepEqual(seen, Array.from({ length: 20 }, (_, i) => i));
      assert.deepEqual(controls.filter((c) => c !== "disconnected" && c !== "connected"), []);
    } finally {
      await own.close();
    }
  });

  test("says that a job was deleted, and that another of its name is not the same", async () => {
    const jobId = newJob("deleted");
    await append(jobId, ["custom", { n: 1 }], ["custom", { n: 2 }]);
    const seen = [];
    for await (const e of follow(server.url, jobId)) {
      seen.push(e);
      if (seen.length === 2) await fetch(`${server.url}/v1/jobs/${jobId}`, { method: "DELETE" });
    }
    assert.equal(seen.at(-1).control, "deleted");
    await append(jobId, ["custom", { n: 3 }], ["done", {}]);
    const again = await all(follow(server.url, jobId, { after: seen[1].cursor }));
    assert.deepEqual(again.map((e) => e.control ?? e.event_type), ["rewound", "custom", "done"]);
  });

  test("waits for a job that does not exist yet, if told to", async () => {
    const jobId = newJob("later");
    await assert.rejects(all(follow(server.url, jobId)), (err) => err instanceof ServerError && err.type === "/problems/unknown-job");
    const stream = all(follow(server.url, jobId, { waitSeconds: 60 }));
    await append(jobId, ["done", {}]);
    assert.deepEqual((await stream).map((e) => e.event_type), ["done"]);
  });

  test("ends with its signal, and when its reader leaves", async () => {
    const jobId = newJob("leave");
    await append(jobId, ["custom", {}]);
    const abort = new AbortController();
    const seen = [];
    for await (const e of follow(server.url, jobId, { signal: abort.signal })) {
      seen.push(e);
      abort.abort();
    }
    for await (const e of follow(server.url, jobId)) {
      seen.push(e);
      break;
    }
    assert.equal(seen.length, 2);
  });

  test("says that a worker gives no sign of life, and that it is back", async () => {
    const jobId = newJob("stalled");
    await append(jobId, ["phase_update", { phase: "job", status: "started" }]);
    const beat = (ttl_ms) => fetch(`${server.url}/v1/jobs/${jobId}/heartbeat`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ttl_ms }) });
    assert.equal((await beat(1000)).status, 200);
    const seen = [];
    for await (const e of follow(server.url, jobId)) {
      seen.push(e.control ?? e.event_type);
      if (e.control === "stalled") await beat(30_000);
      if (e.control === "resumed") await append(jobId, ["done", {}]);
    }
    assert.deepEqual(seen, ["phase_update", "stalled", "resumed", "done"]);
  });

  test("fails at once where the server refuses", async () => {
    const own = await TestServer.start("--api-key", "0123456789abcdef0123");
    try {
      await assert.rejects(all(follow(own.url, "job")), (err) => err instanceof ServerError && err.status === 401);
      await assert.rejects(all(follow(own.url, "job", { token: "0123456789abcdef0123" })), (err) => err.type === "/problems/unknown-job");
      await assert.rejects(cancel(own.url, "job", { token: "0123456789abcdef0123" }), (err) => err.type === "/problems/unknown-job");
    } finally {
      await own.close();
    }
    assert.throws(() => new HTTPPublisher("not an url"));
  });

  test("tells gaps, drops what was given before, and survives connections that break anywhere", async () => {
    const frame = (n, tag = "a") => `id: 100-${n}~${tag}\nevent: custom\ndata: {"id":"100-${n}","job_id":"j","event_type":"custom","timestamp":"2026-01-01T00:00:00Z","data":{"n":${n}}}\n\n`;
    const asked = [];
    const answers = [
      `retry: 10\n\n${frame(1)}${frame(2)}`, // breaks off behind an event
      `retry: 10\n\n${frame(1)}${frame(2)}${frame(3).slice(0, 50)}`, // gives again what was given, breaks off in one
      `retry: 10\n\nevent: gap\ndata: {"first_id":"100-5","after":"100-2","incarnation":"a"}\n\n`, // breaks off behind the gap
      `retry: 10\n\n: \n\n${frame(5)}event: stranger\ndata: {}\n\n`,
      `retry: 10\n\n${frame(1, "b")}event: end\ndata: {"last_id":"100-1"}\n\n`, // another log, and nobody said so
    ];
    const fake = createServer((req, res) => {
      asked.push(req.headers["last-event-id"]);
      const answer = answers[asked.length - 1];
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      for (const byte of Buffer.from(answer)) res.write(Buffer.of(byte));
      if (asked.length % 2) res.end();
      else res.write("", () => req.socket.destroy());
    });
    await new Promise((resolve) => fake.listen(0, "127.0.0.1", resolve));
    try {
      const seen = await all(follow(`http://127.0.0.1:${fake.address().port}`, "j"));
      const told = seen.map((e) => (e.control ? e.control : e.data.n)).filter((e) => e !== "connected" && e !== "disconnected");
      assert.deepEqual(told, [1, 2, "gap", 5, "rewound", 1]);
      assert.deepEqual(asked, [undefined, "100-2~a", "100-2~a", "100-4~a", "100-5~a"]);
    } finally {
      fake.close();
      fake.closeAllConnections();
    }
  });

  test("gives up a connection on which nothing comes", async () => {
    let n = 0;
    const fake = createServer((req, res) => {
      res.writeHead(n++ ? 204 : 200, { "Content-Type": "text/event-stream" });
      if (n > 1) res.end();
      else res.write(": \n\n");
    });
    await new Promise((resolve) => fake.listen(0, "127.0.0.1", resolve));
    try {
      const seen = await all(follow(`http://127.0.0.1:${fake.address().port}`, "j", { quietMs: 50 }));
      assert.deepEqual(seen.map((e) => e.control), ["disconnected"]);
      assert.equal(n, 2);
    } finally {
      fake.close();
      fake.closeAllConnections();
    }
  });
});

test("cancel asks the job to stop; its handler's signal says so, and why", async () => {
  const job = start(newJob("cancel"), publisher);
  const { signal } = job;
  await job.flush();
  const told = await cancel(server.url, job.jobId, { reason: "too slow", by: "ops" });
  assert.equal(told.status, "cancelling");
  await until(() => signal.aborted, "the signal ends");
  assert.deepEqual([signal.reason.name, signal.reason.by, signal.reason.reason], ["CancelRequestedError", "ops", "too slow"]);
  job.end(undefined, signal.reason);
  assert.equal(await job.close(), true);
  assert.equal((await server.log(job.jobId)).job.status, "cancelled");
});

test("a request to stop is heard by a heartbeat where nobody listens for it", async () => {
  const slow = new HTTPPublisher(server.url, { logger: quiet(), heartbeatMs: 20 });
  const job = start(newJob("heard"), slow);
  await job.flush();
  await cancel(server.url, job.jobId, { by: "ops" });
  await until(() => job.outbox.asked, "the heartbeat says so");
  job.end(undefined, new DOMException("This operation was aborted", "AbortError"));
  await slow.close();
  assert.equal((await server.log(job.jobId)).job.status, "cancelled");
});

test("a job is run as a function, and its phases and tools as well", async () => {
  const jobId = newJob("run");
  const output = await start(jobId, publisher).run(async (job) => {
    return job.phase("plan", async (plan) => {
      const found = await plan.tool({ tool: "look", callId: "c1", input: { q: 1 } }, () => [1, 2]);
      plan.progress(0.5, "half");
      await assert.rejects(plan.tool("fail", () => Promise.reject(new Error("boom"))), /boom/);
      return found.length;
    });
  });
  assert.equal(output, 2);
  await assert.rejects(start(jobId + "-fails", publisher).run(() => Promise.reject(new Error("all in vain"))), /all in vain/);
  const { events, job } = await server.log(jobId);
  assert.deepEqual(events.map((e) => e.event_type), ["phase_update", "phase_update", "tool_call", "tool_result", "phase_update", "tool_call", "tool_result", "phase_update", "done"]);
  assert.deepEqual([job.status, events.at(-1).data.output], ["completed", 2]);
  assert.equal((await server.log(jobId + "-fails")).job.status, "failed");
});

test("watch tells events and controls apart, and closes at the end", async () => {
  class FakeSource extends EventTarget {
    static last;
    constructor(url) {
      super();
      this.url = url;
      FakeSource.last = this;
    }
    close() {
      this.closed = true;
    }
    say(type, data, id) {
      this.dispatchEvent(Object.assign(new Event(type), { data: JSON.stringify(data), lastEventId: id ?? "" }));
    }
  }
  const seen = [];
  watch("http://h/", "a/b", {
    token: "t?", after: "1-0~x", types: ["mine"], EventSource: FakeSource,
    onEvent: (e) => seen.push([e.event_type, e.cursor]),
    onControl: (c) => seen.push(c.control),
    onEnd: (d) => seen.push(["end", d.status]),
    onError: () => seen.push("lost"),
  });
  const source = FakeSource.last;
  assert.equal(source.url, "http://h/v1/jobs/a%2Fb/events?access_token=t%3F&after=1-0%7Ex");
  source.say("mine", { event_type: "mine" }, "1-1~x");
  source.say("error", { event_type: "error" }, "1-2~x");
  source.dispatchEvent(new Event("error"));
  source.say("gap", { first_id: "1-5" });
  source.say("end", { event_type: "end" }, "1-6~x");
  assert.ok(!source.closed);
  source.say("end", { status: "completed" });
  assert.ok(source.closed);
  assert.deepEqual(seen, [["mine", "1-1~x"], ["error", "1-2~x"], "lost", "gap", ["end", "1-6~x"], ["end", "completed"]]);
});

test("Server-Sent Events are parsed as browsers do, wherever the pieces end", () => {
  const text = "\uFEFFretry: 3\r\n\r\n: comment\r\rid: 1\revent: a\ndata:x\ndata: y\r\n\r\ndata\n\nid: \0\ndata: z\nid\n\nevent: nothing\n\ndata: unfinished";
  const want = [
    { id: "1", event: "a", data: "x\ny" },
    { id: undefined, event: "message", data: "" },
    { id: "", event: "message", data: "z" },
  ];
  for (let size = 1; size <= text.length; size++) {
    const parser = new SSEParser();
    const got = [];
    for (let i = 0; i < text.length; i += size) got.push(...parser.push(text.slice(i, i + size)));
    assert.deepEqual(got, want, `pieces of ${size}`);
    assert.equal(parser.retry, 3);
  }
});
