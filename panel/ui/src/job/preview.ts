import { oneLine } from "../format";
import { dataOf, type Data, type Row } from "./log";

const str = (v: unknown): string => (typeof v === "string" ? v : v === undefined || v === null ? "" : JSON.stringify(v));

/** What an event says, in a line. */
export function preview(row: Row): { head: string; text: string; bad: boolean } {
  let d: Data;
  try {
    d = dataOf(row.raw);
  } catch {
    return { head: "", text: row.raw, bad: false };
  }
  const line = tell(row.type, d);
  return { head: oneLine(line[0], 80), text: oneLine(line[1]), bad: line[2] ?? false };
}

function tell(type: string, d: Data): [string, string, boolean?] {
  switch (type) {
    case "phase_update":
      return [
        str(d.name) || str(d.phase),
        [str(d.status), str(d.message), str(d.error), str(d.content), d.progress !== undefined ? Math.round(Number(d.progress) * 100) + " %" : ""].filter(Boolean).join(" · "),
        d.status === "failed",
      ];
    case "tool_call": return [str(d.tool), str(d.input ?? d.arguments)];
    case "tool_result": return d.error ? [str(d.tool), str(d.error), true] : [str(d.tool), str(d.output)];
    case "thought":
      if (d.delta !== undefined) return [str(d.channel) === "reasoning" ? "reasoning" : "", str(d.delta)];
      return [str(d.model) || str(d.name), d.content ? str(d.content) : str(d.status)];
    case "error": return [str(d.scope) || (d.fatal ? "fatal" : ""), [str(d.kind), str(d.error)].filter(Boolean).join(": "), true];
    case "done": return ["", str(d.output) || str(d.status)];
    case "custom": return [str(d.name), str(d.value)];
    case "state": return [d.patch ? "patch" : "snapshot", str(d.patch ?? d.snapshot)];
    case "cancel_requested":
    case "cancelled": return [str(d.by), str(d.reason)];
  }
  if (type.startsWith("task_"))
    return [str(d.task), [d.queue && "queue " + str(d.queue), d.worker && "on " + str(d.worker), d.attempt && "attempt " + str(d.attempt), str(d.message), str(d.error), str(d.result)].filter(Boolean).join(" · "), type === "task_failed"];
  return ["", Object.keys(d).length ? JSON.stringify(d) : ""];
}
