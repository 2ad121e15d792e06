// What the cases need: one browser, servers to ask, and a line of JSON for each
// case that ends.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const config = JSON.parse(process.argv[2]);
const patience = 60_000;

// A browser writes on its console that something is not there.
const withoutAlerts = (await fetch(config.url + "/v1/alerts")).status === 404;

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function say(line) {
  process.stdout.write(JSON.stringify(line) + "\n");
}

/** order has the test do something with the server, and waits for it. */
export async function order(what) {
  say({ Do: what });
  await input.next();
}

export class Skip extends Error {}

/** run runs the cases one after the other. What a case returns is told with it. */
export async function run(cases) {
  for (const [name, body] of Object.entries(cases)) {
    if (config.only && !name.includes(config.only)) continue;
    const start = Date.now();
    const line = { Case: name };
    try {
      line.Detail = (await body()) ?? "";
      line.OK = true;
    } catch (error) {
      if (error instanceof Skip) line.Skip = error.message;
      else line.Detail = error.stack;
    }
    line.Seconds = (Date.now() - start) / 1000;
    say(line);
    for (const context of browser.contexts()) await context.close();
  }
  await browser.close();
  process.exit(0);
}

/**
 * open makes a tab. complaints collects what the page writes on its console and
 * throws; quiet fails if there is anything but the failures that it allows.
 */
export async function open(path, { url = config.url, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  page.complaints = [];
  page.foreign = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && page.complaints.push(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => page.complaints.push("thrown: " + e.stack));
  page.on("request", (r) => new URL(r.url()).origin !== new URL(url).origin && !r.url().startsWith("blob:") && page.foreign.push(r.url()));
  if (path !== undefined) await page.goto(url + path);
  return page;
}

/** quiet checks that the page complained of nothing and asked nobody else. */
export function quiet(page, allowed = /^$/) {
  assert.deepEqual(page.complaints.filter((c) => !allowed.test(c) && !(withoutAlerts && /status of 404/.test(c))), []);
  assert.deepEqual(page.foreign, []);
}

/** until polls until what gives something true. */
export async function until(what, ok, ms = patience) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    try {
      last = await ok();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) throw new Error(`not in time: ${what} (last: ${last instanceof Error ? last.message : JSON.stringify(last)})`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** axe scans the page and fails on serious findings. */
export async function axe(page, what) {
  // By the debugger: the page's own policy lets nothing in.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
    expression: `axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }).then((r) => JSON.stringify(r.violations))`,
    awaitPromise: true, returnByValue: true,
  });
  if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
  const bad = JSON.parse(result.value).filter((v) => v.impact === "serious" || v.impact === "critical");
  const told = bad.map((v) => `${v.id} (${v.impact}): ${v.help}\n  ${v.nodes.slice(0, 4).map((n) => n.target + "  " + n.html.slice(0, 160) + " " + (n.any[0]?.message ?? "")).join("\n  ")}`);
  assert.equal(told.join("\n"), "", what);
  await session.detach();
}

/** picture is an artefact of the test, and one of the documentation. */
export async function picture(page, name, size = { width: 1120, height: 640 }) {
  const before = page.viewportSize();
  await page.setViewportSize(size);
  await page.waitForTimeout(300); // charts take their new size
  await page.screenshot({ path: join(config.pictures, name + ".png") });
  await page.setViewportSize(before);
}

export { assert };
