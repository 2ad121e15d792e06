// Jobs to look at.
import { config } from "./harness.mjs";

export async function api(method, path, body, { url = config.url, key, type = "application/json" } = {}) {
  const response = await fetch(url + path, {
    method,
    headers: { "Content-Type": type, ...(key ? { Authorization: "Bearer " + key } : {}) },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

export function publish(job, events, options) {
  const lines = events.map((e) => JSON.stringify(e)).join("\n") + "\n";
  return api("POST", `/v1/jobs/${encodeURIComponent(job)}/events`, lines, { ...options, type: "application/x-ndjson" });
}

export function event(event_type, data = {}, time) {
  return time === undefined ? { event_type, data } : { event_type, data, timestamp: new Date(time).toISOString() };
}

/** story is a small agent's job: a plan, two tools at once, an answer. It began at a time. */
export function story(name, at, { labels = { env: "prod" }, end = "done", scale = 1 } = {}) {
  const t = (s) => at + s * 1000 * scale;
  const run = (id, parent, name, kind) => ({ run_id: id, parent_run_id: parent, name, kind });
  const events = [
    event("phase_update", { phase: "job", status: "started", name, labels }, t(0)),
    event("phase_update", { phase: "agent", status: "started", ...run("a", undefined, "agent", "agent") }, t(0.1)),
    event("phase_update", { phase: "plan", status: "started", ...run("p", "a", "plan", "node") }, t(0.2)),
    event("thought", { status: "started", model: "m-large", message_id: "m1", ...run("m1", "p", "m-large", "llm") }, t(0.3)),
    event("thought", { status: "delta", channel: "text", delta: "I look at the tides ", message_id: "m1", run_id: "m1", parent_run_id: "p" }, t(0.9)),
    event("thought", { status: "delta", channel: "text", delta: "and at the weather.", message_id: "m1", run_id: "m1", parent_run_id: "p" }, t(1.2)),
    event("thought", { status: "completed", content: "I look at the tides and at the weather.", message_id: "m1", ...run("m1", "p", "m-large", "llm"), usage: { input_tokens: 1830, output_tokens: 64 }, duration_ms: 1100 * scale }, t(1.4)),
    event("phase_update", { phase: "plan", status: "completed", ...run("p", "a", "plan", "node"), duration_ms: 1200 * scale }, t(1.5)),
    event("phase_update", { phase: "gather", status: "started", ...run("g", "a", "gather", "node") }, t(1.6)),
    event("tool_call", { tool: "tides", call_id: "c1", input: { port: "Bergen", days: 2 }, ...run("t1", "g", "tides", "tool") }, t(1.7)),
    event("tool_call", { tool: "weather", call_id: "c2", input: { city: "Bergen" }, ...run("t2", "g", "weather", "tool") }, t(1.8)),
    event("tool_result", { tool: "weather", call_id: "c2", error: "no answer after 1 s", error_kind: "timeout", ...run("t2", "g", "weather", "tool"), duration_ms: 1000 * scale }, t(2.8)),
    event("tool_result", { tool: "tides", call_id: "c1", output: { high: "05:12", low: "11:30", level_cm: 12345678901234567890n.toString() }, ...run("t1", "g", "tides", "tool"), duration_ms: 2200 * scale }, t(3.9)),
    event("phase_update", { phase: "gather", status: "completed", ...run("g", "a", "gather", "node"), duration_ms: 2300 * scale }, t(4)),
  ];
  if (end === "open") return events;
  events.push(
    event("phase_update", { phase: "agent", status: end === "failed" ? "failed" : "completed", ...run("a", undefined, "agent", "agent"), duration_ms: 4200 * scale }, t(4.3)),
  );
  if (end === "done") events.push(event("done", { status: "completed", output: "High water at 05:12.", duration_ms: 4400 * scale }, t(4.4)));
  if (end === "failed") events.push(event("error", { fatal: true, scope: "job", kind: "timeout", error: `no answer from https://api.example/${Math.floor(at) % 977} after 30 s` }, t(4.4)));
  return events;
}

const names = ["report", "ingest", "triage", "summarise"];

/** crowd makes many jobs, of which every tenth failed. */
export async function crowd(count, options) {
  const now = Date.now();
  for (let i = 0; i < count; i += 25) {
    await Promise.all(
      Array.from({ length: Math.min(25, count - i) }, (_, k) => {
        const n = i + k;
        const name = names[n % names.length];
        const at = now - 60_000 - ((n * 7919) % 3000) * 1000;
        return publish(`${name}-${String(n).padStart(4, "0")}`, story(name, at, {
          labels: { env: n % 3 ? "prod" : "staging", team: n % 2 ? "search" : "ops" },
          end: n % 10 === 7 ? "failed" : "done", scale: 0.5 + ((n * 31) % 17) / 4,
        }), options);
      }),
    );
  }
}
