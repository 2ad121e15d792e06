import { jobPath } from "./http.js";

/** The event types that have a meaning. */
export const EVENT_TYPES = Object.freeze([
  "phase_update", "tool_call", "tool_result", "thought", "error", "done", "state", "custom", "cancel_requested", "cancelled",
  "task_queued", "task_started", "task_progress", "task_retried", "task_completed", "task_failed",
]);

const CONTROLS = /** @type {const} */ (["gap", "rewound", "deleted", "stalled", "resumed"]);

/**
 * @typedef {object} WatchOptions
 * @property {(event: import("./follow.js").JobEvent) => void} onEvent
 * @property {(control: import("./follow.js").Control) => void} [onControl]  what is said about the stream itself
 * @property {(end: {status?: string, last_id?: string}) => void} [onEnd]  the job has ended and everything came
 * @property {(error: unknown) => void} [onError]  a connection was lost (it is tried again), or refused
 * @property {string} [token]  goes into the address, since EventSource can't send headers
 * @property {string} [after]  go on after this cursor or event ID
 * @property {string[]} [types]  types of your own besides the known ones
 * @property {any} [EventSource]  used instead of the global one
 */

/**
 * Watches a job with the browser's EventSource, which reconnects by itself. Where
 * a token should not stand in an address, use follow.
 * @param {string} url  of the server; "" in a page of the server itself
 * @param {string} jobId
 * @param {WatchOptions} options
 * @returns {{close: () => void}}
 */
export function watch(url, jobId, options) {
  const query = new URLSearchParams();
  if (options.token) query.set("access_token", options.token);
  if (options.after) query.set("after", options.after);
  const Source = options.EventSource ?? /** @type {any} */ (globalThis).EventSource;
  const text = query.toString();
  const source = new Source(url.replace(/\/+$/, "") + jobPath(jobId, "/events") + (text && "?" + text));
  const close = () => source.close();
  /** @param {any} m */
  const take = (m) => {
    const data = JSON.parse(m.data);
    if (typeof data.event_type === "string") options.onEvent({ ...data, cursor: m.lastEventId });
    else if (m.type === "end") {
      close();
      options.onEnd?.(data);
    } else {
      if (m.type === "deleted") close();
      options.onControl?.({ control: m.type, data });
    }
  };
  for (const type of new Set([...EVENT_TYPES, ...CONTROLS, "end", ...(options.types ?? [])])) {
    // The "error" of the connection has no data, an event of that type has.
    if (type !== "error") source.addEventListener(type, take);
  }
  source.addEventListener("error", (/** @type {any} */ m) => (typeof m.data === "string" ? take(m) : options.onError?.(m)));
  return { close };
}
