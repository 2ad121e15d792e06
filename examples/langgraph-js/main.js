/** Runs a LangGraph.js agent as jobs that anyone may watch while they run; see README.md. */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { HTTPPublisher, TidingsCallbackHandler } from "tidings";
import { build } from "./graph.js";
import { started } from "./server.js";

const QUESTIONS = [
  "How is the weather in Oslo and Rome?",
  "How is the weather in Atlantis?", // the tool fails; the graph has a way for that
  "Please break off.", // the model's stream fails, and so does the job
];

/** Runs the graph once, as a job. These lines are all that an agent needs. */
async function ask(graph, publisher, jobId, question) {
  const handler = new TidingsCallbackHandler(jobId, publisher, { name: question, streamModels: true });
  const input = { messages: [{ role: "user", content: question }] };
  await graph.invoke(input, { callbacks: [handler], signal: handler.signal, configurable: { thread_id: jobId } }).catch(() => {}); // the job has the error
  await handler.close();
}

/** Shows the job while it runs, as `tidings tail` does, or says how to. */
function watch(tidings, url, jobId) {
  if (!tidings) {
    console.log(`watch it:  tidings tail ${jobId} --url ${url}\n`);
    return Promise.resolve();
  }
  console.log(`$ tidings tail ${jobId}`);
  const tail = spawn(tidings, ["tail", jobId, "--url", url], { stdio: ["ignore", "inherit", "inherit"] });
  return new Promise((resolve) => tail.once("exit", () => resolve(console.log())));
}

const questions = process.argv.length > 2 ? process.argv.slice(2) : QUESTIONS;
const given = process.env.TIDINGS_URL;
const server = given ? { url: given, tidings: undefined, stop() {} } : await started();
if (!given) console.log(`a server is started for this: ${server.url}\n`);

const publisher = new HTTPPublisher(server.url, { token: process.env.TIDINGS_TOKEN });
const graph = build(Number(process.env.PACE_MS ?? 80));
for (const question of questions) {
  const jobId = `weather-${randomBytes(4).toString("hex")}`;
  const shown = watch(server.tidings, server.url, jobId);
  await ask(graph, publisher, jobId, question);
  await shown;
}
await publisher.close();
await server.stop();
