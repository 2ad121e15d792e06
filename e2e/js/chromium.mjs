// node chromium.mjs URL TYPE…: watches with the EventSource of a headless
// Chromium, prints what it saw.
import { chromium } from "playwright-core";
import { watch } from "./watch.mjs";

const [url, ...types] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
  ],
});
try {
  const page = await browser.newPage();
  // A page of the server's own origin; through a proxy that cuts, it may take
  // several tries.
  for (let tries = 0; ; tries++) {
    try {
      await page.goto(new URL("/healthz", url).href);
      break;
    } catch (error) {
      if (tries > 20) throw error;
    }
  }
  const seen = await page.evaluate(`(${watch})(EventSource, ${JSON.stringify(url)}, ${JSON.stringify(types)})`);
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}
