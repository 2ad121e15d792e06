/** What a user of the package gets. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const here = fileURLToPath(new URL("..", import.meta.url));
const tsc = join(here, "node_modules", "typescript", "bin", "tsc");

/** A folder of a user who has installed the package. */
async function project(t) {
  const dir = await mkdtemp(join(tmpdir(), "tidings-user-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, "node_modules"));
  await symlink(here, join(dir, "node_modules", "tidings"), "dir");
  await symlink(join(here, "node_modules", "@langchain"), join(dir, "node_modules", "@langchain"), "dir");
  await writeFile(join(dir, "package.json"), '{"type":"module"}');
  return dir;
}

test("the types in types/ are those of the source", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "tidings-types-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await run(process.execPath, [tsc, "-p", here, "--outDir", dir]);
  const names = async (folder) => (await readdir(folder)).sort();
  assert.deepEqual(await names(join(here, "types")), await names(dir), "run npm run types");
  for (const name of await names(dir)) {
    assert.equal(await readFile(join(here, "types", name), "utf8"), await readFile(join(dir, name), "utf8"), `types/${name} is not new: run npm run types`);
  }
});

test("a user's TypeScript is checked against them, and the handler is one for LangChain", async (t) => {
  const dir = await project(t);
  await writeFile(
    join(dir, "user.ts"),
    `import type { BaseCallbackHandler, CallbackHandlerMethods } from "@langchain/core/callbacks/base";
     import type { RunnableConfig } from "@langchain/core/runnables";
     import { HTTPPublisher, TidingsCallbackHandler, cancel, follow, start, watch, type JobEvent } from "tidings";
     const publisher = new HTTPPublisher("http://127.0.0.1:1", { token: async () => "t" });
     const handler = new TidingsCallbackHandler("job", publisher, { labels: { env: "prod" } });
     const methods: CallbackHandlerMethods = handler;
     const whole: Omit<BaseCallbackHandler, "lc_kwargs"> = handler;
     const config: RunnableConfig = { callbacks: [handler], signal: handler.signal, configurable: { thread_id: "job" } };
     const job = start("other", publisher);
     const found: Promise<number> = job.phase("plan", async (plan) => plan.tool("look", () => 1));
     for await (const e of follow("http://127.0.0.1:1", "job")) {
       if (e.control) console.log(e.control, e.data);
       else { const typed: JobEvent = e; console.log(typed.event_type); }
     }
     watch("", "job", { onEvent: (e) => console.log(e.data) });
     await cancel("http://127.0.0.1:1", "job", { reason: "enough" });
     // @ts-expect-error a job ID is a string
     start(1, publisher);
     // @ts-expect-error no such option
     new HTTPPublisher("http://127.0.0.1:1", { tokn: "t" });
     console.log(methods, whole, config, found);`,
  );
  await run(process.execPath, [tsc, "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom", "--types", "", "user.ts"], { cwd: dir }).catch((err) => {
    assert.fail(err.stdout);
  });
});

test("it is imported as it is, and needs nothing else", async (t) => {
  const dir = await project(t);
  await rm(join(dir, "node_modules", "@langchain"));
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", 'import * as t from "tidings"; console.log(Object.keys(t).sort().join(" "))'], { cwd: dir });
  assert.equal(stdout.trim(), "CancelRequestedError EVENT_TYPES HTTPPublisher Handler ModelRun RawJSON Run ServerError TidingsCallbackHandler ToolRun cancel follow start watch");
  const { dependencies, peerDependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf8"));
  assert.deepEqual([dependencies, peerDependencies], [undefined, undefined]);
  for (const name of await readdir(join(here, "src"))) {
    const text = await readFile(join(here, "src", name), "utf8");
    for (const [, from] of text.matchAll(/^(?:import|export) .*?from "([^"]+)"/gm)) assert.match(from, /^\.\//, `${name} imports ${from}`);
  }
});
