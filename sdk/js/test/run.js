/** Builds the server once and runs the tests: `npm test`. */

import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { binary } from "./server.js";

const folder = fileURLToPath(new URL(".", import.meta.url));
const files = process.argv.slice(2);
if (files.length === 0) files.push(...readdirSync(folder).filter((f) => f.endsWith(".test.js")).map((f) => folder + f));

const env = { ...process.env, TIDINGS_BIN: await binary() };
const reporter = ["--test-reporter", process.stdout.isTTY ? "spec" : "dot"];
spawn(process.execPath, ["--test", ...reporter, ...files], { stdio: "inherit", env }).on("exit", (code) => process.exit(code ?? 1));
