/** Callbacks as LangGraph.js really made them, recorded, and what the handler makes of them. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as messages from "@langchain/core/messages";
import { HTTPPublisher, TidingsCallbackHandler } from "../src/index.js";
import { TestServer, newJob, quiet, root } from "./server.js";

const folder = process.env.TIDINGS_CAPTURES ?? join(root, "..", "shared", "data", "callbacks");
const file = join(folder, "langgraph_js_callbacks.jsonl");
const skip = existsSync(file) ? false : `no recorded callbacks: ${file}`;

if (skip) console.log(`skipped: ${skip}`);

const lines = (name) => readFileSync(join(folder, name), "utf8").trim().split("\n").map((l) => JSON.parse(l));
const cases = skip ? ["recorded"] : [...new Set(lines("langgraph_js_callbacks.jsonl").map((l) => l.case))].filter((c) => !c.endsWith("_resume"));

let server;
let publisher;
before(async () => {
  if (skip) return;
  server = await TestServer.start();
  publisher = new HTTPPublisher(server.url, { logger: quiet() });
});
after(async () => {
  await publisher?.close();
  await server?.close();
});

/** The objects of which the recording holds the JSON. */
function revive(v) {
  if (v === "undefined") return undefined;
  if (Array.isArray(v)) return v.map(revive);
  if (typeof v !== "object" || v === null) return v;
  if (v.$error) return Object.assign(new Error(v.message), { name: v.$error, interrupts: v.interrupts });
  const made = Object.fromEntries(Object.entries(v).map(([k, x]) => [k, revive(x)]));
  const kind = v.lc === 1 && v.type === "constructor" && messages[v.id.at(-1)];
  return kind ? new kind(made.kwargs) : made;
}

/**
 * Events in few words, as the sketch has them that was made by hand: it knows no
 * event of the job's start and of the root's end, calls a resumed root started,
 * made progress of a custom event, and did not keep the call ID of a tool's error.
 */
function sketch(events) {
  const words = [];
  let open = ""; // the stream that the last delta was of
  for (const { event_type: type, data: d } of events) {
    const root = type === "phase_update" && !d.parent_run_id;
    if (d.phase === "job" && !d.run_id) continue;
    if (root && (d.status === "completed" || d.status === "failed") && d.kind) continue;
    if (d.status === "delta" && open === d.run_id) {
      words.push(words.pop() + d.delta);
      continue;
    }
    open = d.status === "delta" ? d.run_id : "";
    if (type === "custom" || d.status === "progress") words.push("custom");
    else {
      const status = d.status === "resumed" ? "started" : d.status;
      const step = status === "started" ? d.step : undefined; // told where a run begins
      words.push([type, status, step, d.error ? undefined : d.call_id, d.tool, type === "tool_result" ? d.output : undefined, d.content, d.delta].filter((w) => w !== undefined).join(" "));
    }
  }
  return words;
}

for (const name of cases) {
  test(`recorded callbacks: ${name}`, { skip }, async () => {
    const handler = new TidingsCallbackHandler(newJob("capture"), publisher);
    let open = 0;
    for (const l of lines("langgraph_js_callbacks.jsonl")) {
      if (l.case !== name && l.case !== `${name}_resume`) continue;
      if (!l.method) continue;
      // The recorder named the arguments in the order in which they came.
      handler[l.method](...Object.values(l.args).map(revive));
      if (/Start$/.test(l.method)) open++;
      if (/(End|Error)$/.test(l.method)) open--;
    }
    assert.equal(open, 0);
    assert.equal(await handler.flush({ timeoutMs: 60_000 }), true);
    const { events } = await server.log(handler.jobId);
    const want = lines("langgraph_js_mapped.jsonl").filter((l) => l.case === name || l.case === `${name}_resume`);
    assert.deepEqual(sketch(events), sketch(want));
    assert.equal(events.filter((e) => /^(done|cancelled)$/.test(e.event_type) || e.data.fatal).length, 1);
  });
}
