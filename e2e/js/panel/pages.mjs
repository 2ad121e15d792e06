import { assert, axe, config, open, picture, quiet, until } from "./harness.mjs";
import { event, publish, story } from "./data.mjs";

const number = (page, status) => page.locator(`[data-tile="${status}"] b`).innerText().then((s) => Number(s.replace(/\D/g, "")));

export const cases = {
  "the overview counts and draws": async () => {
    const page = await open("/");
    await until("the crowd is counted", async () => /\d{3}/.test(await page.locator(".strip dd").first().innerText()));
    const before = await number(page, "running");
    await publish("one-more", [event("phase_update", { phase: "job", status: "started", name: "one more" })]);
    await until("a job that starts is seen", async () => (await number(page, "running")) === before + 1);
    await until("charts are drawn", async () => (await page.locator(".chart canvas").count()) === 4);
    await axe(page, "overview");
    await page.getByRole("button", { name: "15 min" }).click();
    await until("the chosen time", async () => page.url().includes("window=15m"));
    await picture(page, "panel-overview", { width: 1120, height: 720 });
    await page.getByRole("button", { name: "24 h" }).click();
    await until("the time is in the address", () => new URL(page.url()).searchParams.get("window") === "24h");
    await page.getByRole("link", { name: /^running/ }).click();
    await until("the tile leads to its jobs", () => page.url().endsWith("/jobs?status=running"));
    await page.locator('[data-job="one-more"]').waitFor();
    quiet(page);
  },

  "errors are resolved and come back": async () => {
    const fail = (id) => publish(id, [
      event("phase_update", { phase: "job", status: "started", name: "breaks" }),
      event("error", { fatal: true, scope: "job", kind: "KeyError", error: `no entry '${id}' in row 17` }),
    ]);
    await fail("breaks-1");
    const page = await open("/errors?name=breaks");
    const group = page.locator("[data-error]");
    await group.waitFor();
    await group.getByRole("button", { name: "KeyError" }).click();
    await page.getByText("no entry 'breaks-1' in row 17").waitFor();
    await axe(page, "errors");
    await group.getByRole("button", { name: "Resolve" }).click();
    await page.getByText("No open errors.").waitFor();
    await page.getByRole("button", { name: "resolved" }).click();
    await group.waitFor();
    await page.getByRole("button", { name: "open", exact: true }).click();
    await fail("breaks-2");
    await group.getByText("came back").waitFor();
    await group.getByRole("button", { name: "KeyError" }).click();
    await page.getByRole("link", { name: "breaks-2" }).click();
    await page.getByLabel("The selected event").getByText("KeyError").waitFor();
    assert.match(page.url(), /\/jobs\/breaks-2\?event=/);
    await page.goto(config.url + "/errors");
    await until("all errors", async () => (await group.count()) > 1);
    await picture(page, "panel-errors");
    quiet(page);
  },

  "why a job is stuck": async () => {
    await publish("stuck", story("stuck", Date.now(), { end: "open" }).slice(0, 10));
    const page = await open("/jobs/stuck");
    await page.locator("[data-stuck]").getByText("waits for the tool tides").waitFor();
    await until("where it waits is drawn", async () => (await page.locator('[data-run="t1"] .waited').count()) === 1);
    quiet(page);
  },

  "a token is asked for, kept in the tab and sent in a header": async () => {
    const addresses = [];
    const page = await open(undefined, { url: config.locked });
    page.on("request", (r) => addresses.push(r.url()));
    await page.goto(config.locked + "/jobs");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await axe(page, "sign in");
    await page.getByLabel("API key or token").fill("not the key, not at all");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("the API key is not known").waitFor();
    await page.getByLabel("API key or token").fill(config.key);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText("No jobs yet").waitFor();
    await page.locator('[data-live="on"]').waitFor();
    const there = { url: config.locked, key: config.key };
    await publish("secret", [event("phase_update", { phase: "job", status: "started", name: "secret" })], there);
    await page.locator('[data-job="secret"]').click();
    await page.locator("[data-event]").waitFor();
    await page.getByText("read-only").waitFor();
    assert.equal(await page.locator("[data-stop]").count(), 0, "a read-only panel offers to stop");
    await page.reload();
    await page.locator("[data-event]").waitFor();
    assert.deepEqual(addresses.filter((a) => a.includes(config.key) || a.includes("access_token")), []);
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    quiet(page, /status of 401/);
  },

  "everything works beneath a prefix": async () => {
    const there = { url: config.beneath };
    await publish("a/b c", story("prefixed", Date.now()), there);
    const page = await open("/", there);
    await page.getByRole("link", { name: "Jobs" }).click();
    await page.locator("[data-job]").click();
    await page.waitForURL(config.beneath + "/jobs/a%2Fb%20c");
    await until("its events", async () => (await page.locator("[data-event]").count()) === 16);
    await page.reload();
    await until("its events, again", async () => (await page.locator("[data-event]").count()) === 16);
    await page.getByRole("link", { name: "Tidings, overview" }).click();
    await page.waitForURL(config.beneath + "/");
    quiet(page);
  },

  "on a phone and in the dark": async () => {
    const page = await open(undefined, { viewport: { width: 375, height: 740 }, colorScheme: "dark", hasTouch: true });
    for (const [path, ready] of [["/", ".strip"], ["/jobs", "[data-job]"], ["/jobs/live", "[data-event]"], ["/jobs/live?tab=text", ".message"], ["/jobs/live?tab=facts", ".pairs"], ["/errors", "[data-error]"], ["/alerts", "main h1"]]) {
      await page.goto(config.url + path);
      await page.locator(ready).first().waitFor();
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 375, `${path} is ${wide} px wide`);
      await axe(page, path + " on a phone in the dark");
      if (path === "/jobs/live") await picture(page, "panel-phone", { width: 375, height: 740 });
    }
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.getByRole("button", { name: /Colours/ }).click(); // light, against the system
    const light = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.notEqual(dark, light);
    await page.reload();
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), light, "the choice is forgotten");
    quiet(page);
  },
};

