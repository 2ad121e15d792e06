import { assert, axe, config, open, picture, quiet, until } from "./harness.mjs";
import { event, publish } from "./data.mjs";

const there = { url: config.alerting };

/** ends is a job of the name that fails or does not. */
const ends = (id, name, well) => publish(id, [
  event("phase_update", { phase: "job", status: "started", name }),
  well ? event("done", { status: "completed" }) : event("error", { fatal: true, scope: "job", kind: "timeout", error: "no answer from the tide service" }),
], there);

/** loops calls a tool so often with the same input. */
function loops(times) {
  const events = [event("phase_update", { phase: "job", status: "started", name: "research" })];
  for (let i = 0; i < times; i++) {
    events.push(event("tool_call", { tool: "search", call_id: "c" + i, run_id: "r" + i, input: { query: "tides of Bergen" } }));
    events.push(event("tool_result", { tool: "search", call_id: "c" + i, run_id: "r" + i, output: [], duration_ms: 3 }));
  }
  return events;
}

const row = (page, rule, state) => page.locator(`main [data-alert="${rule}"][data-state="${state}"]`);

export const cases = {
  "an alert fires, is silenced and resolves": async () => {
    const page = await open("/alerts", there);
    await page.getByText("Nothing fires.").waitFor();
    for (const id of ["flaky-1", "flaky-2", "flaky-3"]) await ends(id, "flaky", false);
    await row(page, "jobs_failing", "firing").waitFor();
    await publish("looping", loops(4), there);
    await row(page, "loop", "firing").waitFor();
    await until("the page's name says how many", async () => (await page.locator("nav .pill").innerText()) === "2");
    await page.setViewportSize({ width: 1120, height: 420 });
    await picture(page, "panel-alerts", { width: 1120, height: 420 });
    await axe(page, "alerts");

    await row(page, "loop", "firing").getByRole("button", { name: "Silence" }).click();
    const form = page.getByRole("form", { name: "Silence an alert" });
    await axe(page, "a silence");
    await form.getByLabel("Why").fill("known");
    await form.getByRole("button", { name: "Silence" }).click();
    await row(page, "loop", "firing").getByText("silenced").waitFor();
    await until("it is not counted any more", async () => (await page.locator("nav .pill").innerText()) === "1");
    await page.getByRole("button", { name: "silences" }).click();
    await page.getByText("known").waitFor();
    await axe(page, "silences");
    await page.getByRole("button", { name: "End it" }).click();
    await page.getByText("ended").waitFor();

    await ends("flaky-4", "flaky", true);
    await page.getByRole("button", { name: "history" }).click();
    await row(page, "jobs_failing", "resolved").waitFor();
    await axe(page, "history");
    await page.getByRole("button", { name: "rules" }).click();
    await until("the rules", async () => (await page.locator("[data-rule]").count()) === 3);
    await axe(page, "rules");
    await page.getByRole("button", { name: "notifications" }).click();
    await page.getByText("Nobody was told").waitFor();
    quiet(page);
  },

  "what an alert found is on the job's timeline": async () => {
    const page = await open("/jobs/looping", there);
    await page.locator('.found [data-alert="loop"]').waitFor();
    await until("it is drawn where it was found", async () => (await page.locator('[data-run^="r"] .m-alert').count()) === 1);
    await page.locator(".found").getByRole("button", { name: "Show" }).click();
    await page.getByLabel("The selected event").getByText("search").first().waitFor();
    assert.match(page.url(), /event=/);
    await page.goto(config.alerting + "/");
    await page.getByRole("region", { name: "Firing alerts" }).getByText("loop", { exact: true }).waitFor();
    quiet(page);
  },
};
