/** The package in a page of another origin, as it is, in a real browser. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { TestServer, newJob, root } from "./server.js";

const playwright = join(root, "e2e", "js", "node_modules", "playwright-core", "index.mjs");
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const missing = [playwright, chromium].filter((path) => !existsSync(path));
const required = process.env.TIDINGS_REQUIRE_BROWSER === "1";
const skip = missing.length > 0 && !required ? `no browser: ${missing.join(", ")} is missing` : false;
if (skip) console.log(`skipped: ${skip}`);

/** Serves the sources, and an empty page. */
async function site() {
  const server = createServer(async (req, res) => {
    const name = /^\/src\/(\w+\.js)$/.exec(req.url)?.[1];
    res.setHeader("Content-Type", name ? "text/javascript" : "text/html");
    res.end(name ? await readFile(join(root, "sdk", "js", "src", name)) : "<!doctype html><title>page</title>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() && server.closeAllConnections() };
}

/** Runs in the page: publishes a job, and watches it in both ways meanwhile. */
async function inPage([url, token, jobId]) {
  const { HTTPPublisher, follow, start, watch } = await import("/src/index.js");
  const publisher = new HTTPPublisher(url, { token });
  const job = start(jobId, publisher);
  const model = job.model("m");
  await job.flush();
  const watched = [];
  const ended = new Promise((resolve) => watch(url, jobId, { token, onEvent: (e) => watched.push(e.event_type), onEnd: resolve }));
  const followed = [];
  for await (const e of follow(url, jobId, { token })) {
    followed.push(e.event_type);
    if (followed.length !== 2) continue;
    model.delta("🙂");
    model.end();
    job.custom("odd", { when: new Date(0), big: 1n, self: window });
    job.end("ok");
  }
  const { status } = await ended;
  return { watched, followed, status, stored: await publisher.close() };
}

test("a page publishes and watches a job", { skip, timeout: 120_000 }, async (t) => {
  const token = "0123456789abcdef0123";
  const page = await site();
  t.after(page.close);
  const server = await TestServer.start("--api-key", token, "--allow-origin", page.url);
  t.after(() => server.close());
  const { chromium: browserType } = await import(pathToFileURL(playwright));
  const browser = await browserType.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
  t.after(() => browser.close());
  const tab = await browser.newPage();
  await tab.goto(page.url);
  const told = await tab.evaluate(inPage, [server.url, token, newJob("page")]);
  const want = ["phase_update", "thought", "thought", "thought", "custom", "done"];
  assert.deepEqual(told, { watched: want, followed: want, status: "completed", stored: true });
});
