/**
 * The same graphs in JavaScript and in Python publish the same events: see
 * sdk/python/tests/test_same_graphs.py, which plays the same scenarios and writes the file.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { dispatchCustomEvent } from "@langchain/core/callbacks/dispatch";
import { HumanMessage } from "@langchain/core/messages";
import { BaseRetriever } from "@langchain/core/retrievers";
import { RunnableLambda } from "@langchain/core/runnables";
import { tool } from "@langchain/core/tools";
import { Annotation, Command, END, MemorySaver, MessagesAnnotation, START, Send, StateGraph, interrupt } from "@langchain/langgraph";
import { InMemoryCache } from "@langchain/langgraph-checkpoint";
import { ToolNode } from "@langchain/langgraph/prebuilt";
import { HTTPPublisher, TidingsCallbackHandler } from "../src/index.js";
import { ScriptedModel, weather } from "./graphs.js";
import { TestServer, newJob, quiet } from "./server.js";

const golden = JSON.parse(readFileSync(new URL("../../testdata/graphs.json", import.meta.url), "utf8"));

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

// --- the parts of the graphs ---------------------------------------------------

const Items = Annotation.Root({ items: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }) });
const text = (name) => ({ type: "object", properties: { [name]: { type: "string" } }, required: [name] });
const askHuman = tool(({ q }) => "said " + interrupt({ q }), { name: "ask_human", description: "Ask.", schema: text("q") });

function agent(script, { tools = [weather], handle = true, ...options } = {}) {
  const model = new ScriptedModel(script);
  return new StateGraph(MessagesAnnotation)
    .addNode("agent", async (state, config) => {
      let all;
      for await (const chunk of await model.stream(state.messages, config)) all = all?.concat(chunk) ?? chunk;
      return { messages: [all] };
    })
    .addNode("tools", new ToolNode(tools, { handleToolErrors: handle }))
    .addEdge(START, "agent")
    .addConditionalEdges("agent", (s) => (s.messages.at(-1).tool_calls?.length ? "tools" : END), ["tools", END])
    .addEdge("tools", "agent")
    .compile(options);
}

function graphOf(nodes, edges, options) {
  const graph = new StateGraph(Items);
  for (const [name, node] of Object.entries(nodes)) Array.isArray(node) ? graph.addNode(name, ...node) : graph.addNode(name, node);
  for (const [begin, end] of edges) typeof end === "function" ? graph.addConditionalEdges(begin, end) : graph.addEdge(begin, end);
  return graph.compile(options);
}

const one = (name, node, options) => graphOf({ [name]: node }, [[START, name], [name, END]], options);
const add = (item) => () => ({ items: [item] });
const fail = (message) => () => {
  throw new Error(message);
};
const step = (name, fn) => RunnableLambda.from(fn).withConfig({ runName: name });
const calling = (name, args) => [
  { pieces: ["Let me ", "look."], calls: [{ id: "c1", name, args }] },
  { pieces: ["It ", "is ", "sunny"] },
];

class Library extends BaseRetriever {
  static lc_name() {
    return "Library";
  }
  lc_namespace = ["test"];
  async _getRelevantDocuments() {
    return [{ pageContent: "text", metadata: { n: 1 } }];
  }
}

const hi = { messages: [new HumanMessage({ content: "hi", id: "h" })] };
const none = { items: [] };

// --- the scenarios --------------------------------------------------------------

const parallel = new Set(["fan_out", "two_interrupts"]); // compared run by run, in any order
const options = { silent_model: { streamModels: true } };

const scenarios = {
  agent_with_tool: (c) => agent(calling("get_weather", { city: "Oslo" })).invoke(hi, c),
  agent_events: async (c) => {
    for await (const _ of agent(calling("get_weather", { city: "Oslo" })).streamEvents(hi, { ...c, version: "v2" })) void _;
  },
  tool_error: (c) => agent(calling("get_weather", { city: "Nowhere" })).invoke(hi, c),
  tool_error_climbs: (c) => agent(calling("get_weather", { city: "Nowhere" }), { handle: false }).invoke(hi, c),
  model_breaks: (c) => agent([{ pieces: ["It "], fails: "stream broke" }]).invoke(hi, c),
  fallback: (c) =>
    one("ask", async (_, config) => {
      const items = [];
      const model = new ScriptedModel([{ fails: "down" }]).withFallbacks([new ScriptedModel([{ pieces: ["b"] }])]);
      for await (const piece of await model.stream("x", config)) if (piece.content) items.push(piece.content);
      return { items };
    }).invoke(none, c),
  silent_model: (c) =>
    one("ask", async (_, config) => {
      const [loud, silent] = [new ScriptedModel([{ pieces: ["a"] }]), new ScriptedModel([{ pieces: ["b"] }]).withConfig({ tags: ["nostream"] })];
      return { items: [(await loud.invoke("x", config)).content, (await silent.invoke("x", config)).content] };
    }).invoke(none, c),
  subgraph: (c) => {
    const inner = async (_, config) => {
      await dispatchCustomEvent("progress", { pct: 50 }, config);
      return { items: ["inner"] };
    };
    const nodes = { plan: add("plan"), sub: one("inner", inner), join: add("join") };
    return graphOf(nodes, [[START, "plan"], ["plan", () => "sub"], ["sub", "join"], ["join", END]]).invoke(none, c);
  },
  fan_out: (c) => {
    const sends = [0, 1, 2].map((i) => new Send("work", { items: [i] }));
    return graphOf({ plan: add("plan"), work: (s) => ({ items: [s.items[0] * 2] }) }, [[START, "plan"], ["plan", () => sends], ["work", END]]).invoke(none, c);
  },
  interrupted: async (c) => {
    const nodes = { ask: () => ({ items: [interrupt({ question: "go on?" })] }), after: add("after") };
    const graph = graphOf(nodes, [[START, "ask"], ["ask", "after"], ["after", END]], { checkpointer: new MemorySaver() });
    await graph.invoke(none, c);
    await graph.invoke(new Command({ resume: "yes" }), c);
  },
  two_interrupts: async (c) => {
    const nodes = { a: () => ({ items: [interrupt("a?")] }), b: () => ({ items: [interrupt("b?")] }) };
    const graph = graphOf(nodes, [[START, "a"], [START, "b"], ["a", END], ["b", END]], { checkpointer: new MemorySaver() });
    await graph.invoke(none, c);
    const { tasks } = await graph.getState({ configurable: c.configurable });
    const resume = Object.fromEntries(tasks.flatMap((t) => t.interrupts).map((i) => [i.id, "yes"]));
    await graph.invoke(new Command({ resume }), c);
  },
  breakpoint_before: async (c) => {
    const graph = graphOf({ one: add(1), two: add(2) }, [[START, "one"], ["one", "two"], ["two", END]], { checkpointer: new MemorySaver(), interruptBefore: ["two"] });
    await graph.invoke(none, c);
    await graph.invoke(null, c);
  },
  nested_interrupt: async (c) => {
    const inner = one("ask", () => ({ items: [interrupt("q")] }), { checkpointer: true });
    const graph = one("outer", inner, { checkpointer: new MemorySaver() });
    await graph.invoke(none, c);
    await graph.invoke(new Command({ resume: "yes" }), c);
  },
  tool_interrupt: async (c) => {
    const graph = agent(calling("ask_human", { q: "who?" }), { tools: [askHuman], checkpointer: new MemorySaver() });
    await graph.invoke(hi, c);
    await graph.invoke(new Command({ resume: "ann" }), c);
  },
  hand_over: (c) => {
    const triage = () => new Command({ goto: "billing", graph: Command.PARENT, update: { items: ["over"] } });
    const child = graphOf({ triage: [triage, { ends: [] }] }, [[START, "triage"]]);
    return graphOf({ front: [child, { ends: ["billing"] }], billing: add("billed") }, [[START, "front"], ["billing", END]]).invoke(none, c);
  },
  node_error: (c) => graphOf({ a: add("a"), bad: fail("no luck") }, [[START, "a"], ["a", "bad"], ["bad", END]]).invoke(none, c),
  nested_error: (c) => one("sub", one("bad", fail("deep down"))).invoke(none, c),
  edge_error: (c) => graphOf({ a: add("a") }, [[START, "a"], ["a", fail("edge broke")]]).invoke(none, c),
  retried: (c) => {
    let tries = 0;
    const flaky = () => {
      if (++tries < 3) throw new Error(`flaky ${tries}`);
      return { items: ["ok"] };
    };
    const retryPolicy = { initialInterval: 1, jitter: false, maxAttempts: 3, retryOn: () => true, logWarning: false };
    return one("flaky", [flaky, { retryPolicy }]).invoke(none, c);
  },
  cached: async (c) => {
    const nodes = { a: [add("a"), { cachePolicy: true }], b: add("b") };
    const graph = graphOf(nodes, [[START, "a"], ["a", "b"], ["b", END]], { cache: new InMemoryCache() });
    await graph.invoke(none);
    await graph.invoke(none, c);
  },
  named: (c) => one("a", add("a"), { name: "my graph" }).invoke(none, { ...c, runName: "call me" }),
  chain: (c) => {
    const more = ({ n }) => ({ n: n + 1 });
    return step("one", more).pipe(step("two", more)).invoke({ n: 3 }, c);
  },
  graph_in_chain: (c) => step("prepare", () => none).pipe(one("a", add("a"))).invoke({ n: 1 }, c),
  graph_in_node: (c) => {
    const inner = one("inner", add("x"));
    return one("outer", async (_, config) => ({ items: (await inner.invoke(none, config)).items })).invoke(none, c);
  },
  graph_in_tool: (c) => {
    const inner = one("inner", add("x"));
    const deep = tool(async (_, config) => String((await inner.invoke(none, config)).items.length), { name: "deep", description: "Go deep.", schema: text("q") });
    return agent(calling("deep", { q: "x" }), { tools: [deep] }).invoke(hi, c);
  },
  chain_in_node: (c) => {
    const same = (x) => x;
    const both = step("one", same).pipe(step("two", same));
    return one("outer", async (_, config) => ({ items: [(await both.invoke({ n: 1 }, config)).n] })).invoke(none, c);
  },
  retriever_in_node: (c) => one("look", async (_, config) => ({ items: [(await new Library().invoke("q", config)).length] })).invoke(none, c),
  retriever_alone: (c) => new Library().invoke("q", c),
  tool_alone: async (c) => {
    await weather.invoke({ city: "Oslo" }, c);
    await weather.invoke({ type: "tool_call", id: "c9", name: "get_weather", args: { city: "Oslo" } }, c);
  },
  odd_values: async (_, h) => {
    const cycle = { a: 1 };
    cycle.self = cycle;
    const odd = { nan: NaN, inf: -Infinity, bytes: Uint8Array.of(0, 255), none: null, small: 1.5, set: new Set([1]) };
    for (const value of [odd, cycle, "a\ud800b \u{1F600}", "x".repeat(70_000), ["é".repeat(70_000)], 2 ** 53, "", [], {}]) h.job.custom("odd", value);
    h.end({ ok: true });
  },
};

// --- comparing ------------------------------------------------------------------

/** A value without what languages have differently, its members in order. */
function plain(v) {
  if (Array.isArray(v)) return v.map(plain);
  if (typeof v === "object" && v !== null) return Object.fromEntries(Object.keys(v).sort().map((k) => [k, plain(v[k])]));
  if (typeof v !== "string") return v;
  return v.length > 1000 ? `${v.slice(0, 20)}… ${v.length} characters` : v.replace(/Error: .*?Please fix your mistakes\./gs, "Error: …");
}

/** The events without IDs and times, the deltas of a stream as one. */
function comparable(events, inParallel) {
  const told = [];
  for (const { event_type: type, data } of events) {
    const d = plain(Object.fromEntries(Object.entries(data).filter(([k]) => !k.endsWith("_ms") && k !== "error_kind")));
    if (type === "error") delete d.kind;
    if (d.status === "resumed" && inParallel) delete d.value; // has IDs of interrupts
    const last = told.at(-1)?.[1] ?? {};
    if (d.status === "delta" && last.status === "delta" && d.run_id === last.run_id) last.delta += d.delta;
    else told.push([type, d]);
  }
  if (!inParallel) return numbered(told);
  const runs = new Map();
  for (const event of told) runs.set(event[1].run_id, [...(runs.get(event[1].run_id) ?? []), event]);
  return sorted([...runs.values()].map(numbered));
}

/** Runs in an order that does not depend on the language. */
function sorted(runs) {
  const texts = runs.map((run) => JSON.stringify(plain(run)));
  return texts.sort().map((t) => JSON.parse(t));
}

function numbered(told) {
  const names = new Map();
  const uuid = /(?:lc_)?(?:run-+)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:-[0-9]+)?/g;
  const number = (_, id) => names.get(id) ?? names.set(id, `#${names.size}`).get(id);
  return JSON.parse(JSON.stringify(told).replace(uuid, number));
}

for (const [name, run] of Object.entries(scenarios)) {
  test(`the same graph gives the same events in all languages: ${name}`, async () => {
    const jobId = newJob("same");
    const handler = new TidingsCallbackHandler(jobId, publisher, options[name]);
    await run({ callbacks: [handler], configurable: { thread_id: jobId } }, handler).catch((err) => assert.match(name, /error|climbs|breaks/, err));
    assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
    const { events } = await server.log(jobId);
    assert.deepEqual(comparable(events, parallel.has(name)), parallel.has(name) ? sorted(golden[name]) : golden[name]);
    assert.equal(handler.stats().strays, 0);
    await handler.close();
  });
}

test("every scenario of the file is played", () => {
  assert.deepEqual(Object.keys(golden), Object.keys(scenarios));
});
