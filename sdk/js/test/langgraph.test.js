/** Real graphs of LangGraph.js against a real server. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Command, END, MemorySaver, START, StateGraph, interrupt } from "@langchain/langgraph";
import { BaseRetriever } from "@langchain/core/retrievers";
import { RunnableLambda } from "@langchain/core/runnables";
import { dispatchCustomEvent } from "@langchain/core/callbacks/dispatch";
import { HTTPPublisher, TidingsCallbackHandler, cancel } from "../src/index.js";
import { Notes, ScriptedModel, agent } from "./graphs.js";
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

/** Runs what a user would, and gives the job's log. */
async function observe(run, options) {
  const jobId = newJob("graph");
  const handler = new TidingsCallbackHandler(jobId, publisher, options);
  const config = { callbacks: [handler], configurable: { thread_id: jobId }, signal: handler.signal };
  let error;
  await run(config, handler).catch((err) => {
    error = err;
  });
  assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
  const { events, job } = await server.log(jobId);
  return { events, job, error, handler, lines: events.map(line) };
}

/** An event in few words, without IDs and times. */
function line({ event_type: type, data: d }) {
  const words = [type, d.phase ?? d.tool ?? d.name ?? "", d.status ?? "", d.delta ?? d.content ?? ""];
  if (d.error) words.push(`error=${d.error}`);
  if (d.cause_run_id) words.push("caused");
  if (d.interrupts) words.push(`asks=${JSON.stringify(d.interrupts.map((i) => i.value))}`);
  if (type === "tool_call") words.push(JSON.stringify(d.input));
  if (type === "tool_result" && d.output !== undefined) words.push(JSON.stringify(d.output));
  return words.filter((w) => w !== "").join(" ");
}

/** Every run begins before it ends, within its parent, and begins once. */
function assertTree(events) {
  const open = new Set();
  const known = new Set();
  for (const { event_type: type, data: d } of events) {
    if (!d.run_id) continue;
    const begins = d.status === "started" || d.status === "resumed" || type === "tool_call";
    if (begins && !known.has(d.run_id)) {
      if (d.parent_run_id) assert.ok(open.has(d.parent_run_id), `${JSON.stringify(d)} begins in a run that is not open`);
      open.add(d.run_id);
      known.add(d.run_id);
    } else {
      assert.ok(known.has(d.run_id), `${JSON.stringify(d)} belongs to a run that has not begun`);
    }
    if (["completed", "failed"].includes(d.status) || type === "tool_result") open.delete(d.run_id);
  }
}

const hi = { messages: [{ role: "user", content: "hi" }] };
const twoSteps = (city) => [
  { pieces: ["Let me ", "look."], calls: [{ id: "c1", name: "get_weather", args: { city } }] },
  { pieces: ["It ", "is ", "sunny"] },
];

describe("an agent with a tool", () => {
  test("gives every step, the tokens, the tool call and done", async () => {
    const { events, lines, job, handler } = await observe((c) => agent(new ScriptedModel(twoSteps("Oslo"))).invoke(hi, c));
    assertTree(events);
    const joined = lines.filter((l, i) => !(l.includes(" delta ") && lines[i - 1]?.includes(" delta ")));
    assert.deepEqual(
      joined.map((l) => l.replace(/delta .*/, "delta")),
      [
        "phase_update job started",
        "phase_update LangGraph started",
        "phase_update agent started",
        "thought ScriptedModel started",
        "thought delta",
        "thought ScriptedModel completed Let me look.",
        "phase_update agent completed",
        "phase_update tools started",
        'tool_call get_weather {"city":"Oslo"}',
        'tool_result get_weather "sunny in Oslo"',
        "phase_update tools completed",
        "phase_update agent started",
        "thought ScriptedModel started",
        "thought delta",
        "thought ScriptedModel completed It is sunny",
        "phase_update agent completed",
        "phase_update LangGraph completed",
        "done completed",
      ],
    );
    const deltas = events.filter((e) => e.data.status === "delta").map((e) => e.data.delta);
    assert.equal(deltas.join(""), "Let me look.It is sunny");
    const asked = events.find((e) => e.data.tool_calls)?.data;
    assert.deepEqual(asked.tool_calls, [{ call_id: "c1", tool: "get_weather", input: { city: "Oslo" } }]);
    assert.equal(asked.finish_reason, "tool_calls");
    assert.equal(asked.model, "scripted-1");
    assert.deepEqual(asked.usage, { input_tokens: 10, output_tokens: 3, cached_input_tokens: 4, reasoning_tokens: 1 });
    const done = events.at(-1).data;
    assert.equal(done.usage.input_tokens, 20);
    assert.equal(done.output.messages.at(-1).content, "It is sunny");
    const node = events.find((e) => e.data.phase === "tools").data;
    assert.deepEqual([node.kind, node.step, node.ns], ["node", 2, ["tools"]]);
    assert.equal(job.status, "completed");
    assert.equal(handler.stats().strays, 0);
  });

  test("lives on with a tool's error", async () => {
    const { lines, job } = await observe((c) => agent(new ScriptedModel(twoSteps("Nowhere"))).invoke(hi, c));
    assert.ok(lines.includes("tool_result get_weather error=city not found"));
    assert.ok(!lines.some((l) => l.startsWith("error")));
    assert.equal(job.status, "completed");
  });

  test("tells an error that climbs once, and at the end", async () => {
    const { lines, job, error } = await observe((c) => agent(new ScriptedModel(twoSteps("Nowhere")), { handleToolErrors: false }).invoke(hi, c));
    assert.equal(error.message, "city not found");
    assert.deepEqual(lines.slice(-4), [
      "tool_result get_weather error=city not found",
      "phase_update tools failed caused",
      "phase_update LangGraph failed caused",
      "error error=city not found caused",
    ]);
    assert.equal(job.status, "failed");
  });

  test("tells a stream that breaks", async () => {
    const { lines, job } = await observe((c) => agent(new ScriptedModel([{ pieces: ["It "], fails: "stream broke" }])).invoke(hi, c));
    assert.deepEqual(lines.slice(-5), [
      "thought delta It ",
      "error error=stream broke",
      "phase_update agent failed caused",
      "phase_update LangGraph failed caused",
      "error error=stream broke caused",
    ]);
    assert.equal(job.status, "failed");
  });

  test("gives the same events when the graph is streamed", async () => {
    const modes = ["values", "messages", "updates"];
    const { lines } = await observe(async (c) => {
      for await (const _ of await agent(new ScriptedModel(twoSteps("Oslo"))).stream(hi, { ...c, streamMode: modes })) void _;
    });
    const invoked = await observe((c) => agent(new ScriptedModel(twoSteps("Oslo"))).invoke(hi, c));
    const plain = (all) => all.filter((l) => !l.includes(" delta "));
    assert.deepEqual(plain(lines), plain(invoked.lines));
  });

  test("gives tokens also where the agent only invokes its model, if told to", async () => {
    const model = new ScriptedModel([{ pieces: ["a", "b"] }]);
    const graph = new StateGraph(Notes)
      .addNode("ask", async (_, config) => ({ notes: [(await model.invoke("hi", config)).content] }))
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile();
    const { events } = await observe((c) => graph.invoke({ notes: [] }, c), { streamModels: true });
    const deltas = events.filter((e) => e.data.status === "delta").map((e) => e.data.delta);
    assert.equal(deltas.join(""), "ab");
  });

  test("is told once where the handler is given twice", async () => {
    const once = await observe((c) => agent(new ScriptedModel(twoSteps("Oslo"))).invoke(hi, c));
    const twice = await observe((c) => agent(new ScriptedModel(twoSteps("Oslo"))).withConfig({ callbacks: c.callbacks }).invoke(hi, { ...c, callbacks: [...c.callbacks, ...c.callbacks] }));
    const text = ({ events }) => events.filter((e) => e.data.status === "delta").map((e) => e.data.delta).join("");
    const plain = ({ lines }) => lines.filter((l) => !l.includes(" delta "));
    assert.deepEqual(plain(twice), plain(once));
    assert.equal(text(twice), text(once));
  });

  test("keeps tokens that are not for users to itself", async () => {
    const model = new ScriptedModel([{ pieces: ["secret"] }]).withConfig({ tags: ["nostream"] });
    const graph = new StateGraph(Notes)
      .addNode("ask", async (_, config) => {
        for await (const chunk of await model.stream("hi", config)) void chunk;
        return { notes: [] };
      })
      .addEdge(START, "ask")
      .addEdge("ask", END)
      .compile();
    const { lines } = await observe((c) => graph.invoke({ notes: [] }, c));
    assert.ok(!lines.some((l) => l.includes("delta")));
  });
});

describe("nested and parallel graphs", () => {
  const inner = new StateGraph(Notes)
    .addNode("inner", async (_, config) => {
      await dispatchCustomEvent("progress", { pct: 50 }, config);
      return { notes: ["inner"] };
    })
    .addEdge(START, "inner")
    .addEdge("inner", END)
    .compile();
  const outer = new StateGraph(Notes)
    .addNode("plan", () => ({ notes: ["plan"] }))
    .addNode("left", inner)
    .addNode("right", () => ({ notes: ["right"] }))
    .addNode("join", () => ({ notes: ["join"] }))
    .addEdge(START, "plan")
    .addConditionalEdges("plan", () => ["left", "right"])
    .addEdge(["left", "right"], "join")
    .addEdge("join", END)
    .compile();

  test("have namespaces; routers and the extra run of a subgraph are left out", async () => {
    const { events, job } = await observe((c) => outer.invoke({ notes: [] }, c));
    assertTree(events);
    const started = events.filter((e) => e.data.status === "started" && e.data.run_id).map((e) => [e.data.name, e.data.ns?.join("/"), e.data.step]);
    assert.deepEqual(started.slice(0, 2), [
      ["LangGraph", undefined, undefined],
      ["plan", "plan", 1],
    ]);
    assert.deepEqual(
      started.slice(2).sort(),
      [
        ["left", "left", 2],
        ["right", "right", 2],
        ["inner", "left/inner", 1],
        ["join", "join", 3],
      ].sort(),
    );
    const inner = events.find((e) => e.data.name === "inner").data;
    const left = events.find((e) => e.data.name === "left").data;
    assert.equal(inner.parent_run_id, left.run_id);
    const custom = events.find((e) => e.event_type === "custom").data;
    assert.deepEqual([custom.name, custom.value, custom.run_id], ["progress", { pct: 50 }, inner.run_id]);
    assert.equal(job.status, "completed");
  });

  test("hand over to a node of the graph around without an error", async () => {
    const child = new StateGraph(Notes)
      .addNode("triage", () => new Command({ goto: "billing", graph: Command.PARENT, update: { notes: ["handed over"] } }), { ends: [] })
      .addEdge(START, "triage")
      .compile();
    const graph = new StateGraph(Notes)
      .addNode("front", child, { ends: ["billing"] })
      .addNode("billing", () => ({ notes: ["billed"] }))
      .addEdge(START, "front")
      .addEdge("billing", END)
      .compile();
    const { events, lines, job } = await observe((c) => graph.invoke({ notes: [] }, c));
    assert.equal(job.status, "completed", lines.join("\n"));
    assert.ok(!lines.some((l) => l.includes("failed") || l.startsWith("error")));
    assert.deepEqual(events.find((e) => e.data.name === "handoff")?.data.value, { to: "billing" });
  });
});

describe("interrupts", () => {
  const asking = (checkpointer, compile = {}) =>
    new StateGraph(Notes)
      .addNode("ask", () => ({ notes: [interrupt({ question: "go on?" })] }))
      .addNode("after", () => ({ notes: ["after"] }))
      .addEdge(START, "ask")
      .addEdge("ask", "after")
      .addEdge("after", END)
      .compile({ checkpointer, ...compile });

  test("wait, and are resumed in the same process", async () => {
    const graph = asking(new MemorySaver());
    const { lines, job, events } = await observe(async (c, handler) => {
      await graph.invoke({ notes: [] }, c);
      await handler.flush();
      assert.equal((await server.log(handler.jobId)).job.status, "waiting");
      await graph.invoke(new Command({ resume: "yes" }), c);
    });
    assert.deepEqual(lines, [
      "phase_update job started",
      "phase_update LangGraph started",
      "phase_update ask started",
      'phase_update ask interrupted asks=[{"question":"go on?"}]',
      "phase_update LangGraph interrupted",
      "phase_update LangGraph resumed",
      "phase_update ask started",
      "phase_update ask completed",
      "phase_update after started",
      "phase_update after completed",
      "phase_update LangGraph completed",
      "done completed",
    ]);
    assert.equal(events[5].data.value, "yes");
    assert.equal(job.status, "completed");
  });

  test("are resumed by another handler of the same job", async () => {
    const graph = asking(new MemorySaver());
    const first = await observe((c) => graph.invoke({ notes: [] }, c));
    assert.equal(first.job.status, "waiting");
    assert.equal(await first.handler.close(), true);
    const { jobId } = first.handler;
    const second = new TidingsCallbackHandler(jobId, publisher);
    await graph.invoke(new Command({ resume: "yes" }), { callbacks: [second], configurable: { thread_id: jobId } });
    assert.equal(await second.flush({ timeoutMs: 60_000 }), true);
    const { events, job } = await server.log(jobId);
    assert.deepEqual(events.slice(5, 7).map(line), ["phase_update job started", "phase_update LangGraph resumed"]);
    assert.equal(job.status, "completed");
  });

  test("before a node are told by the graph's own callback", async () => {
    const graph = new StateGraph(Notes)
      .addNode("one", () => ({ notes: ["one"] }))
      .addNode("two", () => ({ notes: ["two"] }))
      .addEdge(START, "one")
      .addEdge("one", "two")
      .addEdge("two", END)
      .compile({ checkpointer: new MemorySaver(), interruptBefore: ["two"] });
    const { lines, job } = await observe(async (c, handler) => {
      await graph.invoke({ notes: [] }, c);
      await handler.flush();
      assert.equal((await server.log(handler.jobId)).job.status, "waiting");
      await graph.invoke(null, c);
    });
    assert.equal(job.status, "completed", lines.join("\n"));
    assert.equal(lines.filter((l) => l.includes("interrupted")).length, 1, lines.join("\n"));
    assert.equal(lines.filter((l) => l.includes("resumed")).length, 1, lines.join("\n"));
  });

  test("in a subgraph are told by the innermost node", async () => {
    const graph = new StateGraph(Notes).addNode("outer", asking(true)).addEdge(START, "outer").addEdge("outer", END).compile({ checkpointer: new MemorySaver() });
    const { lines, job } = await observe((c) => graph.invoke({ notes: [] }, c));
    assert.deepEqual(lines.slice(-3), [
      'phase_update ask interrupted asks=[{"question":"go on?"}]',
      "phase_update outer interrupted",
      "phase_update LangGraph interrupted",
    ]);
    assert.equal(job.status, "waiting");
  });
});

describe("the end", () => {
  const slow = new StateGraph(Notes)
    .addNode("slow", async (_, config) => {
      await new Promise((_resolve, reject) => {
        config.signal.addEventListener("abort", () => reject(config.signal.reason), { once: true });
      });
      return {};
    })
    .addEdge(START, "slow")
    .addEdge("slow", END)
    .compile();

  test("is cancelled when somebody asked the job to stop", async () => {
    const { events, job, error } = await observe(async (c, handler) => {
      const running = slow.invoke({ notes: [] }, c);
      running.catch(() => {});
      await until(async () => (await server.log(handler.jobId)).events?.length === 3, "the node runs");
      await cancel(server.url, handler.jobId, { reason: "enough", by: "ann" });
      await running;
    });
    assert.ok(error, "the graph was aborted");
    assert.equal(events.at(-1).event_type, "cancelled");
    assert.deepEqual([events.at(-1).data.reason, events.at(-1).data.by], ["enough", "ann"]);
    assert.equal(job.status, "cancelled");
  });

  test("is an error of kind aborted when nobody asked", async () => {
    const abort = new AbortController();
    const { events, job } = await observe(async (c, handler) => {
      const running = slow.invoke({ notes: [] }, { ...c, signal: abort.signal });
      running.catch(() => {});
      await until(async () => (await server.log(handler.jobId)).events?.length === 3, "the node runs");
      abort.abort();
      await running;
    });
    assert.deepEqual([events.at(-1).event_type, events.at(-1).data.kind, events.at(-1).data.fatal], ["error", "aborted", true]);
    assert.equal(job.status, "failed");
  });

  test("is an error of kind timeout when time has run out, although the graph says no more than Abort", async () => {
    const { events } = await observe(async (_, handler) => {
      handler.handleChainStart({ id: ["langgraph"] }, {}, "root");
      handler.handleChainStart({}, {}, "node", "root", ["graph:step:1"]);
      handler.handleChainError(new DOMException("time has run out", "TimeoutError"), "node");
      handler.handleChainError(new Error("Abort"), "root"); // as LangGraph.js calls it
    });
    const { error, kind, fatal } = events.at(-1).data;
    assert.deepEqual([error, kind, fatal], ["time has run out", "timeout", true]);
  });

  test("is told by the user where it is not automatic", async () => {
    const one = new StateGraph(Notes).addNode("one", () => ({ notes: [1] })).addEdge(START, "one").addEdge("one", END).compile();
    const { lines, job } = await observe(
      async (c, handler) => {
        await one.invoke({ notes: [] }, c);
        await one.invoke({ notes: [] }, c);
        handler.end("both");
        await one.invoke({ notes: [] }, c);
      },
      { automatic: false },
    );
    assert.equal(lines.filter((l) => l === "phase_update LangGraph completed").length, 2);
    assert.equal(lines.at(-1), "done completed");
    assert.equal(job.status, "completed");
  });
});

test("chains and retrievers without a graph are told as well", async () => {
  class Docs extends BaseRetriever {
    lc_namespace = ["test"];
    async _getRelevantDocuments(query) {
      return [{ pageContent: `about ${query}`, metadata: {} }];
    }
  }
  const chain = RunnableLambda.from((x) => x.q).withConfig({ runName: "pick" }).pipe(new Docs());
  const { lines, events, job } = await observe((c) => chain.invoke({ q: "fjords" }, c));
  assertTree(events);
  assert.deepEqual(lines, [
    "phase_update job started",
    "phase_update RunnableSequence started",
    "phase_update pick started",
    "phase_update pick completed",
    "phase_update Docs started",
    "phase_update Docs completed",
    "phase_update RunnableSequence completed",
    "done completed",
  ]);
  assert.equal(events[4].data.kind, "retriever");
  assert.equal(events[4].data.input, "fjords");
  assert.equal(events[5].data.output[0].pageContent, "about fjords");
  assert.equal(job.status, "completed");
});
