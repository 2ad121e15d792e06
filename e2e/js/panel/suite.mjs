// node suite.mjs CONFIG: a person at the panel. TestPanel runs it.
import { run } from "./harness.mjs";
import { cases as jobs } from "./jobs.mjs";
import { cases as job } from "./job.mjs";
import { cases as pages } from "./pages.mjs";
import { cases as alerts } from "./alerts.mjs";

await run({ ...jobs, ...job, ...pages, ...alerts });
