// What the API answers with, as far as the panel looks at it.

export type Status = "queued" | "running" | "waiting" | "cancelling" | "completed" | "failed" | "cancelled";

export const statuses: Status[] = ["queued", "running", "waiting", "cancelling", "completed", "failed", "cancelled"];

export function ended(status: Status): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  cached_input_tokens?: number;
  reasoning_tokens?: number;
}

export interface Money {
  amount: number;
  currency: string;
}

export interface Job {
  id: string;
  name?: string;
  status: Status;
  labels?: Record<string, string>;
  metadata?: unknown;
  created_at: string;
  updated_at: string;
  ended_at?: string;
  events: number;
  last_id: string;
  last_type?: string;
  closed: boolean;
  phase?: string;
  progress?: number;
  message?: string;
  error?: string;
  cancel?: { by?: string; reason?: string; at: string };
  task?: { task?: string; queue?: string; worker?: string; attempt?: number; verdict?: string };
  usage?: Usage;
  cost?: Money | Money[];
  first_id: string;
  incarnation?: string;
  lease_until?: string;
  stalled: boolean;
}

export interface Quantiles {
  count: number;
  mean?: number;
  p50?: number;
  p95?: number;
  p99?: number;
  max?: number;
}

export interface Window {
  created: number;
  started: number;
  completed: number;
  failed: number;
  cancelled: number;
  retried: number;
  job_rate: number;
  error_rate?: number;
  events: number;
  event_rate: number;
  errors: number;
  dropped: number;
  duration_ms: Quantiles;
  wait_ms: Quantiles;
  tool: { calls: number; errors: number; error_rate?: number; duration_ms: Quantiles };
  model: { calls: number; errors: number; error_rate?: number; duration_ms: Quantiles };
  tokens: { input_tokens: number; output_tokens: number };
  cost?: Record<string, number>;
}

export interface Stats {
  now: string;
  since: string;
  jobs: {
    queued: number;
    running: number;
    waiting: number;
    cancelling: number;
    stalled: number;
    overdue: number;
    oldest_queued_ms?: number;
  };
  window: Window;
  by?: { by: string; value: string; jobs?: Record<string, number>; window: Window }[];
  monitor: { lag_ms: number; leader: boolean };
}

export interface Series {
  step_ms: number;
  times: number[];
  lines: { metric: string; by?: string; value?: string; values: (number | null)[] }[];
}

export interface Stuck {
  job_id: string;
  name: string;
  status: Status;
  phase?: string;
  since: string;
  waits_for?: { kind: string; name: string; run_id?: string; since: string; for_ms: number };
  silent_ms: number;
  last_event: { id: string; type: string; at: string };
  worker?: string;
  stalled: boolean;
  overdue: boolean;
  says: string;
}

export interface ErrorGroup {
  id: string;
  name: string;
  kind: string;
  tool?: string;
  scope?: string;
  message: string;
  sample: string;
  count: number;
  fatal: number;
  first_seen: string;
  last_seen: string;
  jobs: { job_id: string; event_id: string }[];
  hours: number[];
  state: "open" | "resolved" | "ignored";
  reopened: boolean;
  changed_by?: string;
  changed_at?: string;
}

export interface Worker {
  name: string;
  type: string;
  alive: boolean;
  active: number;
  processed: number;
  load?: number[];
  software?: string;
  seen_at: string;
  lost_at?: string;
  concurrency?: number;
}

export interface QueueDepth {
  name: string;
  type: string;
  waiting: number;
  unacked: number;
}
