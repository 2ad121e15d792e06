/** What agents give that is no JSON: it becomes readable, and never an error of the agent. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { AIMessage, HumanMessage, ToolMessage } from "@langchain/core/messages";
import { HTTPPublisher, RawJSON, TidingsCallbackHandler, start } from "../src/index.js";
import { encode } from "../src/encode.js";
import { byteLength, cutText } from "../src/text.js";
import { TestServer, newJob, quiet } from "./server.js";

class Point {
  constructor() {
    this.x = 1;
    this.self = this;
  }
}

const cyclic = { name: "loop", list: [] };
cyclic.list.push(cyclic);

const revoked = Proxy.revocable({}, {});
revoked.revoke();

const hostile = new Proxy(
  { a: 1 },
  {
    ownKeys() {
      throw new Error("no keys for you");
    },
  },
);

let deep = "bottom";
for (let i = 0; i < 10_000; i++) deep = { deep };

const values = {
  undefined: [undefined, null],
  null: [null, null],
  "a BigInt": [{ n: 12345678901234567890n }, { n: 12345678901234567890 }],
  NaN: [[NaN, Infinity, -Infinity, -0], ["NaN", "Infinity", "-Infinity", 0]],
  "a cycle": [cyclic, { name: "loop", list: ["[a cycle]"] }],
  "a shared object that is no cycle": [(() => { const o = { x: 1 }; return [o, o]; })(), [{ x: 1 }, { x: 1 }]],
  "a class instance": [new Point(), { x: 1, self: "[a cycle]" }],
  "a class without members": [new (class Empty {})(), "[Empty]"],
  "a Map": [new Map([["a", 1]]), { a: 1 }],
  "a Map with other keys": [new Map([[{ k: 1 }, "v"]]), [[{ k: 1 }, "v"]]],
  "a Set": [new Set([1, "b"]), [1, "b"]],
  "a function": [{ f: function work() {} }, { f: "[function work]" }],
  "a symbol": [Symbol("s"), "[Symbol(s)]"],
  "a date": [new Date(0), "1970-01-01T00:00:00.000Z"],
  "a date that is none": [new Date(NaN), null],
  "an error": [new TypeError("boom"), "TypeError: boom"],
  "a regular expression": [/a+/g, "/a+/g"],
  "an URL": [new URL("http://a/b"), "http://a/b"],
  bytes: [Uint8Array.of(0, 255), "[2 bytes: 00ff]"],
  "a Buffer": [{ b: Buffer.alloc(100) }, { b: `[100 bytes: ${"00".repeat(32)}…]` }],
  "an ArrayBuffer": [new ArrayBuffer(1), "[1 bytes: 00]"],
  "an embedding": [Float32Array.of(0.5, 1), [0.5, 1]],
  "a lone surrogate": [{ "\ud800": "\udc00" }, { "\ufffd": "\ufffd" }],
  "an object without a prototype": [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  "members that are undefined": [{ a: undefined, b: [undefined] }, { b: [null] }],
  "a promise": [Promise.resolve(1), "[Promise]"],
  "a revoked proxy": [revoked.proxy, (v) => /^\[a Proxy that can't be encoded: /.test(v)],
  "a proxy that throws": [{ p: hostile }, { p: "[a Object that can't be encoded: no keys for you]" }],
  "a getter that throws": [Object.defineProperty({ a: 1 }, "b", { enumerable: true, get() { throw new Error("private"); } }), { a: 1, b: "[can't be read: private]" }],
  "toJSON that throws": [{ toJSON() { throw new Error("not today"); } }, "[a Object that can't be encoded: not today]"],
  "toJSON that gives itself": [{ toJSON() { return this; } }, "[a cycle]"],
  "toJSON that gives undefined": [{ toJSON() {} }, null],
  "raw JSON": [new RawJSON('{"n":1.50}'), { n: 1.5 }],
  "too deep": [deep, (v) => JSON.stringify(v).includes("[nests too deep]")],
  "a boxed string": [new String("boxed"), "boxed"],
};

describe("a value becomes JSON:", () => {
  for (const [name, [value, want]] of Object.entries(values)) {
    test(name, () => {
      const { json, full } = encode(value, 1 << 20);
      const got = JSON.parse(json);
      if (typeof want === "function") assert.ok(want(got), json.slice(0, 200));
      else assert.deepEqual(got, want);
      assert.equal(full, 0);
    });
  }

  test("messages of LangChain, without what is only for loading them", () => {
    const list = [
      new HumanMessage("hi"),
      new AIMessage({ content: "", tool_calls: [{ id: "c1", name: "look", args: { a: 1 }, type: "tool_call" }] }),
      new ToolMessage({ content: "failed", tool_call_id: "c1", status: "error" }),
    ];
    assert.deepEqual(JSON.parse(encode(list, 0).json), [
      { type: "human", content: "hi" },
      { type: "ai", content: "", tool_calls: [{ id: "c1", name: "look", args: { a: 1 } }] },
      { type: "tool", content: "failed", tool_call_id: "c1", status: "error" },
    ]);
  });

  test("a getter that gives a new object for ever ends", () => {
    const endless = { get next() { return Object.create(Object.getPrototypeOf(this), Object.getOwnPropertyDescriptors(this)); } };
    assert.ok(JSON.parse(encode(endless, 1000).json));
  });

  test("an iterable that never ends is not iterated", () => {
    const endless = { *[Symbol.iterator]() { for (;;) yield 1; } };
    assert.deepEqual(JSON.parse(encode(endless, 1000).json), {});
  });
});

describe("cutting", () => {
  test("keeps whole characters and tells the full size", () => {
    for (const text of ["0123456789abc", "123456789é", "🙂🙂🙂🙂", "é".repeat(9), ""]) {
      for (let limit = 1; limit < 16; limit++) {
        const { json, full } = encode(text, limit);
        const got = JSON.parse(json);
        const size = Buffer.byteLength(text);
        assert.ok(text.startsWith(got) && Buffer.byteLength(got) <= limit && Buffer.byteLength(got) > limit - 4 - (size <= limit ? limit : 0));
        assert.equal(full, size > limit ? size : 0);
      }
    }
  });

  test("turns other values into the beginning of their JSON", () => {
    const { json, full } = encode({ text: "0123456789" }, 10);
    assert.deepEqual([JSON.parse(json), full], ['{"text":"0', 21]);
  });

  test("of the huge does not take long and tells at least what it has seen", () => {
    const huge = { text: "x".repeat(50 << 20), list: Array.from({ length: 1_000_000 }, (_, i) => ({ i })) };
    const { json, full } = encode(huge, 1000);
    assert.equal(JSON.parse(json).length, 1000);
    assert.ok(full > 50 << 20);
  });

  test("counts bytes as Node does", () => {
    for (const text of ["", "a", "é", "€", "🙂", "a🙂b€c\u0000"]) {
      assert.equal(byteLength(text), Buffer.byteLength(text));
      assert.equal(cutText(text, 1000), text);
    }
  });
});

describe("published", () => {
  let server;
  before(async () => {
    server = await TestServer.start();
  });
  after(() => server?.close());

  test("every odd value reaches the server, and no callback throws", async () => {
    const publisher = new HTTPPublisher(server.url, { logger: quiet() });
    const job = start(newJob("odd"), publisher);
    for (const [name, [value]] of Object.entries(values)) {
      job.custom(name, value);
      const tool = job.toolStart({ tool: name, input: value });
      tool.end(value);
      job.toolStart(name).end(undefined, value ?? new Error("x"));
      job.phase({ name, input: value }).end(value);
      job.model({ model: "m", input: value }).end(undefined, value);
      job.error(value);
    }
    const stubborn = { toString() { throw new Error("no"); } };
    for (const info of [{ name: stubborn, tool: stubborn, model: stubborn }, { id: 7, ns: [stubborn] }, { id: Symbol("x"), kind: {} }, null, hostile]) {
      job.phase(info).end();
      job.model(info).end();
      job.toolStart(info).end();
    }
    job.custom(stubborn, 1);
    job.end(cyclic, undefined);
    assert.equal(await job.flush({ timeoutMs: 60_000 }), true);
    const { events, job: told } = await server.log(job.jobId);
    assert.equal(told.status, "completed");
    assert.equal(events.filter((e) => e.event_type === "custom").length, Object.keys(values).length);
    assert.equal(job.stats().dropped, 0);
    await publisher.close();
  });

  test("callbacks of LangChain with nonsense throw nothing", async () => {
    const publisher = new HTTPPublisher(server.url, { logger: quiet() });
    const nonsense = [undefined, null, 0, "", "x", NaN, {}, [], () => {}, Symbol("s"), cyclic, hostile, revoked.proxy, 10n];
    const handler = new TidingsCallbackHandler(newJob("nonsense"), publisher);
    const methods = Object.getOwnPropertyNames(TidingsCallbackHandler.prototype).filter((m) => m.startsWith("handle"));
    assert.ok(methods.length > 15);
    for (const method of methods) {
      for (let round = 0; round < 60; round++) {
        const args = Array.from({ length: 9 }, (_, i) => nonsense[(round * 7 + i * (1 + (round % 5))) % nonsense.length]);
        assert.doesNotThrow(() => handler[method](...args), `${method}(${args.map((a) => typeof a)})`);
      }
    }
    for (const method of methods) assert.doesNotThrow(() => handler[method](), method);
    assert.equal(await handler.close(), true);
    await publisher.close();
  });

  test("a redaction hook sees values before they are cut; one that fails leaves them out", async () => {
    const publisher = new HTTPPublisher(server.url, { logger: quiet() });
    const redact = (type, field, value) => {
      if (field === "output") throw new Error("hook broke");
      return JSON.parse(JSON.stringify(value).replaceAll("secret", "***"));
    };
    const job = start(newJob("redact"), publisher, { redact, maxFieldBytes: 60 });
    const tool = job.toolStart({ tool: "x", input: { password: "secret", more: "y".repeat(50) } });
    tool.end("secret");
    const model = job.model("m");
    model.delta("a secret");
    model.end();
    job.end();
    assert.equal(await job.close(), true);
    const { text } = await server.log(job.jobId);
    assert.ok(!text.includes("secret"), text);
    assert.ok(text.includes("***") && text.includes("[left out: the redaction hook failed]"));
    await publisher.close();
  });

  test("characters that two deltas share arrive whole", async () => {
    const publisher = new HTTPPublisher(server.url, { logger: quiet() });
    const job = start(newJob("halves"), publisher);
    const model = job.model("m");
    for (const unit of "a🙂b🙂".split("")) {
      model.delta(unit);
      await job.flush();
    }
    model.delta("\ud83d");
    model.end();
    job.end();
    assert.equal(await job.close(), true);
    const { events } = await server.log(job.jobId);
    const deltas = events.filter((e) => e.data.status === "delta").map((e) => e.data.delta);
    assert.equal(deltas.join(""), "a🙂b🙂\ufffd");
    assert.equal(events.find((e) => e.data.content).data.content, "a🙂b🙂\ufffd");
    await publisher.close();
  });
});
