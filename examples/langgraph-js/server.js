/** A Tidings server for the time of the example. */

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const exe = process.platform === "win32" ? ".exe" : "";

function inPath(name) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name + exe)).find((path) => existsSync(path));
}

/** The tidings program: TIDINGS_BIN, the one in the path, or one built from this checkout. */
function program(folder) {
  const found = process.env.TIDINGS_BIN ?? inPath("tidings");
  if (found) return found;
  if (!inPath("go")) throw new Error("neither tidings nor go is in the path; set TIDINGS_URL to a running server");
  const built = join(folder, "tidings" + exe);
  execFileSync("go", ["build", "-o", built, "./cmd/tidings"], { cwd: root, stdio: "inherit" });
  return built;
}

/** Starts a server on a free port and gives its address and the program that it is. */
export async function started() {
  const folder = mkdtempSync(join(tmpdir(), "tidings-example-"));
  const tidings = program(folder);
  const child = spawn(tidings, ["serve", "--addr", "127.0.0.1:0", "--data", join(folder, "data")], { stdio: ["ignore", "pipe", "ignore"] });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (chunk) => {
      said += chunk;
      const found = /http:\/\/[\d.]+:\d+/.exec(said);
      if (found) resolve(found[0]);
    });
    child.once("error", reject);
    exited.then((code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  const stop = async () => {
    child.kill();
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, tidings, stop };
}
