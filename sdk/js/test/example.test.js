/** examples/langgraph-js, run as it is. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { TestServer, binary, root } from "./server.js";

const run = promisify(execFile);

/** The example with the packages that the tests have, so that it needs no network. */
async function example(t) {
  const dir = await mkdtemp(join(tmpdir(), "tidings-example-test-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const name of await readdir(join(root, "examples", "langgraph-js"))) {
    if (name !== "node_modules") await cp(join(root, "examples", "langgraph-js", name), join(dir, name));
  }
  await mkdir(join(dir, "node_modules"));
  await symlink(join(root, "sdk", "js"), join(dir, "node_modules", "tidings"), "dir");
  await symlink(join(root, "sdk", "js", "node_modules", "@langchain"), join(dir, "node_modules", "@langchain"), "dir");
  return dir;
}

test("the example runs its jobs on the server it is given", async (t) => {
  const server = await TestServer.start();
  t.after(() => server.close());
  const dir = await example(t);
  const { stdout } = await run(process.execPath, ["main.js"], { cwd: dir, env: { ...process.env, TIDINGS_URL: server.url, PACE_MS: "1" }, timeout: 60_000 });
  const ids = [...stdout.matchAll(/tidings tail (weather-\w+) --url/g)].map((m) => m[1]);
  assert.equal(ids.length, 3, stdout);
  const jobs = await Promise.all(ids.map((id) => server.log(id)));
  assert.deepEqual(jobs.map((j) => j.job.status), ["completed", "completed", "failed"]);
  assert.equal(jobs[0].events.at(-1).data.output.messages.at(-1).content, "It is sunny in Oslo and raining in Rome.");
  assert.ok(jobs[1].events.some((e) => e.data.error === "no weather station in Atlantis"));
  assert.ok(jobs[1].events.some((e) => e.data.phase === "apologise"));
  assert.equal(jobs[2].events.at(-1).data.error, "the model's server closed the connection");
});

test("the example starts a server if there is none, and shows what happens", async (t) => {
  const dir = await example(t);
  const env = { ...process.env, TIDINGS_BIN: await binary(), PACE_MS: "1", NO_COLOR: "1" };
  delete env.TIDINGS_URL;
  const { stdout } = await run(process.execPath, ["main.js", "How is the weather in Rome?"], { cwd: dir, env, timeout: 60_000 });
  for (const line of ["▸ job How is the weather in Rome?", '→ weather {"city":"Rome"}', "raining in Rome", "✓ LangGraph", "■ done"]) {
    assert.ok(stdout.includes(line), `${line} in ${stdout}`);
  }
});

test("the benchmark runs", async () => {
  const env = { ...process.env, BENCH_ROUNDS: "20", BENCH_LIMIT_US: "1e9" };
  const { stdout } = await run(process.execPath, [join(root, "sdk", "js", "bench", "callbacks.js")], { env, timeout: 60_000 });
  assert.match(stdout, /stored: true/);
});
