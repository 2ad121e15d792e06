/** The real server, built once and started on a free port. */

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The repository. */
export const root = fileURLToPath(new URL("../../..", import.meta.url));

let building;

/** Builds the tidings command, once, and gives its path. */
export function binary() {
  if (process.env.TIDINGS_BIN) return Promise.resolve(process.env.TIDINGS_BIN);
  building ??= (async () => {
    // Beside node_modules, which is not part of the repository; the go command
    // builds only what has changed.
    const path = join(root, "sdk", "js", "node_modules", ".cache", `tidings${process.platform === "win32" ? ".exe" : ""}`);
    const mine = `${path}.${process.pid}`; // the other one may be running
    await promisify(execFile)("go", ["build", "-o", mine, "./cmd/tidings"], { cwd: root, env: { ...process.env, GOWORK: "off" } });
    await rename(mine, path);
    return path;
  })();
  return building;
}

/** A server that is started, killed and started again on the same port and data. */
export class TestServer {
  static async start(...flags) {
    const s = new TestServer();
    s.flags = flags;
    s.dir = await mkdtemp(join(tmpdir(), "tidings-js-"));
    await s.start("127.0.0.1:0");
    return s;
  }

  async start(address = this.url.slice("http://".length)) {
    const child = spawn(await binary(), ["serve", "--addr", address, "--data", join(this.dir, "data"), ...this.flags], {
      cwd: this.dir,
      env: { PATH: process.env.PATH, HOME: this.dir },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child = child;
    this.exited = new Promise((resolve) => child.once("exit", resolve));
    this.url = await listening(child);
  }

  /** Ends the server without a warning. */
  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  async close() {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** The job's log, and what the server makes of it. */
  async log(jobId) {
    const path = `${this.url}/v1/jobs/${encodeURIComponent(jobId)}`;
    const text = await (await fetch(path + "/events?limit=10000")).text();
    const job = await (await fetch(path)).json();
    return { text, events: JSON.parse(text).events, job };
  }
}

/** The address that the server says it listens on. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let said = "";
    const take = (chunk) => {
      said += chunk;
      const found = /http:\/\/[\d.]+:\d+/.exec(said);
      if (!found) return;
      for (const stream of [child.stdout, child.stderr]) stream.off("data", take).resume();
      resolve(found[0]);
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
}

/** Waits until the condition holds, for at most a minute. */
export async function until(condition, what = condition) {
  const end = Date.now() + 60_000;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > end) throw new Error(`it did not come to be in a minute: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

let names = 0;

/** A job ID that no other test uses. */
export function newJob(name = "job") {
  return `${name}-${process.pid}-${++names}`;
}

/** A logger that keeps what it is told. */
export function quiet() {
  const lines = [];
  return { lines, warn: (m) => lines.push(m), error: (m) => lines.push(m) };
}
