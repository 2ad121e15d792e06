import { get, Problem } from "../api";

export interface Alert {
  id: string;
  rule: string;
  severity: string;
  state: "pending" | "firing" | "resolved";
  job_id?: string;
  event_id?: string; // where on the job's timeline
  labels?: Record<string, string>;
  summary: string;
  since: string;
  resolved_at?: string;
  value?: number;
  silenced_by?: string[];
  inhibited_by?: string[];
}

/** What the server says of its rules file. */
export interface RulesFile {
  path?: string;
  error?: string;
}

/** loadAlerts gives undefined where the server has none. */
export async function loadAlerts(signal?: AbortSignal, job?: string): Promise<Alert[] | undefined> {
  return (await orNone(get<{ alerts: Alert[] }>("v1/alerts" + (job ? "?job=" + encodeURIComponent(job) : ""), signal)))?.alerts;
}

export async function orNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return undefined;
    throw error;
  }
}

/** suppressed: nobody is told of it. */
export function suppressed(a: Alert): boolean {
  return (a.silenced_by?.length ?? 0) + (a.inhibited_by?.length ?? 0) > 0;
}

/** pressing alerts are those that somebody should look at: the watchdog, which always fires, is not one. */
export function pressing(alerts: Alert[] = []): Alert[] {
  return alerts.filter((a) => a.state === "firing" && a.severity !== "info" && a.rule !== "watchdog" && !suppressed(a));
}
