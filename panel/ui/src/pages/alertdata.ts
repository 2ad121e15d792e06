import { get } from "../api";

export interface Alert {
  id: string;
  rule: string;
  severity: string;
  state: string; // pending, firing, resolved
  job_id?: string;
  event_id?: string; // where on the job's timeline
  labels?: Record<string, string>;
  summary: string;
  since: string;
  value?: number;
  silenced_by?: string[];
  inhibited_by?: string[];
}

export async function loadAlerts(signal?: AbortSignal): Promise<Alert[]> {
  return (await get<{ alerts: Alert[] }>("v1/alerts", signal)).alerts ?? [];
}
