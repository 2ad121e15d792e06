import { assert, axe, open, picture, quiet, until } from "./harness.mjs";
import { crowd, event, publish } from "./data.mjs";

const rows = (page) => page.locator(".table [data-job]");

export const cases = {
  "the table of jobs lives": async () => {
    const page = await open("/jobs");
    await page.getByText("No jobs yet").waitFor();
    await publish("first", [event("phase_update", { phase: "job", status: "started", name: "first job" })]);
    const row = page.locator('[data-job="first"]');
    await row.getByText("running").waitFor();
    await publish("first", [event("done", { status: "completed" })]);
    await row.getByText("completed").waitFor();
    quiet(page);
  },

  "jobs are filtered by the address": async () => {
    await crowd(300);
    const page = await open("/jobs?status=failed");
    await until("failed jobs only", async () => {
      const seen = await rows(page).locator(".status").allInnerTexts();
      return seen.length > 5 && seen.every((s) => s.trim() === "failed");
    });
    assert.equal(await page.locator("[data-count]").innerText(), "30");
    await page.getByRole("button", { name: "completed" }).click();
    await until("both statuses are in the address", () => new URL(page.url()).searchParams.get("status")?.split(",").sort().join() === "completed,failed");
    await page.getByRole("button", { name: "completed" }).click();
    await page.getByLabel("Label").fill("env=staging");
    await until("the label counts", async () => (await page.locator("[data-count]").innerText()) === "10");
    await page.reload();
    await until("a shared address shows the same", async () => (await page.locator("[data-count]").innerText()) === "10");
    await page.goto(page.url().split("?")[0] + "?q=triage-00");
    await until("free text", async () => {
      const ids = await rows(page).evaluateAll((all) => all.map((r) => r.dataset.job));
      return ids.length > 5 && ids.every((id) => id.startsWith("triage-00"));
    });
    await page.goto(page.url().split("?")[0]);
    await rows(page).first().waitFor();
    await picture(page, "panel-jobs");
    await axe(page, "jobs");
    quiet(page);
  },

  "the table is worked by keyboard": async () => {
    const page = await open("/jobs?name=report");
    await rows(page).first().waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate("document.activeElement.name"), "q");
    await page.getByRole("grid", { name: "Jobs" }).focus();
    await page.keyboard.press("End");
    await until("the last row is in view", () => page.locator(".row.active").isVisible());
    await page.keyboard.press("Home");
    await page.keyboard.press("j");
    const chosen = await page.locator(".row.active").getAttribute("data-job");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/jobs/" + chosen);
    await page.goBack();
    await until("back at the filter", () => new URL(page.url()).searchParams.get("name") === "report");
    await rows(page).first().waitFor();
    quiet(page);
  },
};
