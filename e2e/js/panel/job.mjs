import { readFileSync } from "node:fs";
import { assert, axe, config, open, order, picture, quiet, Skip, until } from "./harness.mjs";
import { api, event, publish, story } from "./data.mjs";

const shown = (page) => page.locator(".page.job").getAttribute("data-rows").then(Number);

/** outline is the drawn tree: depth and name of each run in view. */
const outline = (page) => page.locator("[data-run]").evaluateAll((all) => all.map((r) => ({ id: r.dataset.run, depth: Number(r.dataset.depth), status: r.dataset.status })));

export const cases = {
  "a job from start to end": async () => {
    await publish("live", [event("phase_update", { phase: "job", status: "started", name: "tide report", labels: { env: "prod" } })]);
    const page = await open("/jobs/live");
    await page.getByRole("heading", { name: "tide report" }).waitFor();
    await page.locator(".jobhead").getByText("running").waitFor();
    const events = story("tide report", Date.now()).slice(1);
    const plan = events.slice(0, 5);
    await publish("live", plan);
    await until("its events came", async () => (await shown(page)) === 6);
    await until("an open run is drawn", async () => (await outline(page)).some((r) => r.id === "m1" && r.status === "running" && r.depth === 3));
    await page.getByRole("tab", { name: "Text" }).click();
    await page.getByText("I look at the tides and at the weather.").waitFor();
    await page.getByText("writing…").waitFor();
    await page.getByRole("tab", { name: "Events" }).click();
    const follow = page.locator("[data-follow]");
    assert.equal(await follow.getAttribute("aria-pressed"), "true");
    await follow.click();
    await follow.getByText("Follow", { exact: true }).waitFor();
    await follow.click();
    await publish("live", events.slice(5));
    await page.locator(".jobhead").getByText("completed").waitFor();
    await until("the tree is closed", async () => (await outline(page)).every((r) => r.status !== "running"));
    assert.deepEqual((await outline(page)).map((r) => `${r.depth} ${r.id} ${r.status}`), [
      "0  completed", "1 a completed", "2 p completed", "3 m1 completed", "2 g completed", "3 t1 completed", "3 t2 failed",
    ]);
    assert.equal(await shown(page), 16);
    quiet(page);
  },

  "events are found, chosen and shared": async () => {
    const page = await open("/jobs/live?type=tool_result");
    await until("results only", async () => {
      const types = await page.locator("[data-event]").evaluateAll((all) => all.map((r) => r.dataset.type));
      return types.length === 2 && types.every((t) => t === "tool_result");
    });
    await page.getByLabel("Find in events").fill("High");
    await page.locator("[data-matches]").getByText("1 match").waitFor();
    await page.locator("[data-event]").click();
    const panel = page.getByLabel("The selected event");
    await panel.getByText("05:12").waitFor();
    const shared = page.url();
    assert.match(shared, /event=\d+-\d+/);
    await page.getByRole("button", { name: "Copy the event as JSON" }).waitFor();
    await page.goto("about:blank");
    await page.goto(shared);
    await panel.getByText("05:12").waitFor();
    await page.getByRole("grid", { name: "Events" }).focus();
    await page.keyboard.press("Escape");
    await until("the event is let go", () => !page.url().includes("event="));
    const saving = page.waitForEvent("download");
    await page.getByRole("button", { name: /Download/ }).click();
    const file = readFileSync(await (await saving).path(), "utf8").trim().split("\n");
    assert.equal(file.length, 16);
    assert.equal(JSON.parse(file[15]).event_type, "done");
    await page.setViewportSize({ width: 1120, height: 740 });
    await page.goto(config.url + "/jobs/live?event=" + JSON.parse(file[12]).id);
    await panel.waitFor();
    await picture(page, "panel-job", { width: 1120, height: 740 });
    await axe(page, "a job");
    quiet(page);
  },

  "the pieces of texts can be left out": async () => {
    const page = await open("/jobs/live");
    await page.getByRole("button", { name: "without pieces" }).click();
    await page.locator("[data-matches]").getByText("14 match").waitFor();
    await page.getByRole("treegrid", { name: "Runs of the job" }).focus();
    for (let i = 0; i < 4; i++) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByLabel("The selected event").getByText("m-large").first().waitFor();
    quiet(page);
  },

  "numbers keep their digits and data is never HTML": async () => {
    const raw = '{"event_type":"custom","data":{"name":"<img src=x onerror=document.title=1>","value":12345678901234567890.10,"html":"<script>document.title=2</script><b id=evil>x</b>"}}\n';
    await api("POST", "/v1/jobs/%3Cb%3Eodd%2Fname%3C%2Fb%3E/events", raw, { type: "application/x-ndjson" });
    const page = await open("/jobs/" + encodeURIComponent("<b>odd/name</b>"));
    await page.locator("[data-event]").click();
    await page.getByText("12345678901234567890.10").waitFor();
    await page.getByText("<b id=evil>x</b>").first().waitFor();
    assert.equal(await page.locator("main img, main script, #evil").count(), 0);
    assert.match(await page.title(), /^<b>odd\/name<\/b> · running/);
    await page.goto(config.url + "/jobs?q=odd");
    await page.getByRole("link", { name: "<b>odd/name</b>" }).click();
    await page.getByRole("heading", { name: "<b>odd/name</b>" }).waitFor();
    quiet(page);
  },

  "the server restarts and nothing is lost": async () => {
    await publish("restart", story("restart", Date.now(), { end: "open" }));
    const page = await open("/jobs/restart");
    await until("the history is there", async () => (await shown(page)) === 14);
    await order("kill");
    await page.locator('[data-live="off"]').waitFor();
    await order("start");
    await publish("restart", [event("custom", { name: "after" }), event("done", { status: "completed" })]);
    await page.locator(".jobhead").getByText("completed").waitFor();
    await until("all events are there", async () => (await shown(page)) === 16);
    const ids = await page.evaluate(() => [...document.querySelectorAll("[data-event]")].map((e) => e.dataset.event));
    assert.equal(new Set(ids).size, ids.length);
    quiet(page, /Failed to load resource/);
  },

  "a job is stopped": async () => {
    await publish("stop", story("stop", Date.now(), { end: "open" }));
    const page = await open("/jobs/stop");
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByRole("dialog").getByLabel("Reason").fill("takes too long");
    await page.getByRole("button", { name: "Stop the job" }).click();
    await page.locator(".jobhead").getByText("cancelling").waitFor();
    await page.getByText("Asked to stop: takes too long").waitFor();
    const { events } = await api("GET", "/v1/jobs/stop/events?type=cancel_requested");
    assert.equal(events[0].data.reason, "takes too long");
    await publish("stop", [event("cancelled", { reason: "takes too long" })]);
    await page.locator(".jobhead").getByText("cancelled").waitFor();
    await until("there is nothing left to stop", async () => (await page.locator("[data-stop]").count()) === 0);
    quiet(page);
  },

  "the timeline of a recorded run": async () => {
    if (config.recorded.length === 0) throw new Skip("no recorded runs beside the repository");
    const recorded = readFileSync(config.recorded[0], "utf8").trim().split("\n").map((l) => JSON.parse(l)).filter((e) => e.event_type && e.case === "nested");
    const events = recorded.length > 0 ? recorded : firstNested(readFileSync(config.recorded[0], "utf8"));
    const start = Date.now() - 60_000;
    await publish("recorded", events.map((e, i) => event(e.event_type, e.data, start + i * 100)));
    const want = tree(events);
    const page = await open("/jobs/recorded");
    await until("all its runs are drawn where they belong", async () => {
      const drawn = (await outline(page)).filter((r) => r.id && !r.id.startsWith("call:"));
      return JSON.stringify(drawn.map((r) => [r.id, r.depth]).sort()) === JSON.stringify(want);
    });
    return `${want.length} runs, ${Math.max(...want.map((w) => w[1]))} deep`;
  },

  "a hundred thousand events": async () => {
    const total = 100_000;
    const batch = 10_000;
    for (let i = 0; i < total; i += batch)
      await publish("big", Array.from({ length: batch }, (_, k) => event("custom", { name: "step", value: { n: i + k, text: "the tide comes in and the tide goes out" } })));
    const page = await open();
    const start = Date.now();
    await page.goto(config.url + "/jobs/big");
    await page.locator("[data-event]").first().click();
    await page.getByLabel("The selected event").waitFor();
    const interactive = Date.now() - start;
    await page.keyboard.press("Escape");
    await until("all have come", async () => (await shown(page)) === total);
    const loaded = Date.now() - start;
    const list = page.locator(".loglist .vlist");
    let blank = 0;
    for (let i = 0; i < 20; i++) {
      blank += await list.evaluate(async (el, where) => {
        el.scrollTop = where * el.scrollHeight;
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        const box = el.getBoundingClientRect();
        let gaps = 0;
        for (let y = box.top + 4; y < box.bottom - 4; y += 26) gaps += document.elementFromPoint(box.left + 40, y)?.closest("[data-event]") ? 0 : 1;
        return gaps;
      }, (i * 0.37) % 1);
    }
    assert.equal(blank, 0, "rows that stayed blank while scrolling");
    await page.getByLabel("Find in events").fill('"n":77777,');
    await page.locator("[data-matches]").waitFor();
    return `${total} events: interactive after ${interactive} ms, all there after ${loaded} ms (the server with the race detector); 20 jumps without a blank row`;
  },
};

/** firstNested takes the recorded scenario with the deepest tree. */
function firstNested(text) {
  const cases = new Map();
  for (const line of text.trim().split("\n")) {
    const e = JSON.parse(line);
    if (e.event_type) cases.set(e.case, [...(cases.get(e.case) ?? []), e]);
  }
  return [...cases.values()].sort((a, b) => depth(b) - depth(a))[0];
}

function depth(events) {
  return Math.max(0, ...tree(events).map((r) => r[1]));
}

/** tree is what the events say: each run and how deep it lies, the job itself being 0. */
function tree(events) {
  const parents = new Map();
  for (const { data: d } of events) {
    if (!d.run_id) continue;
    if (d.parent_run_id || !parents.has(d.run_id)) parents.set(d.run_id, d.parent_run_id ?? parents.get(d.run_id) ?? "");
    if (d.parent_run_id && !parents.has(d.parent_run_id)) parents.set(d.parent_run_id, "");
  }
  const deep = (id) => (id ? 1 + deep(parents.get(id)) : 0);
  return [...parents.keys()].map((id) => [id, deep(id)]).sort();
}
