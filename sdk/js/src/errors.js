import { textOf } from "./encode.js";

/** The reason with which a handler's signal ends when the job is asked to stop. */
export class CancelRequestedError extends Error {
  /**
   * @param {string} [by] who asked
   * @param {string} [reason] why
   */
  constructor(by = "", reason = "") {
    super("the job was asked to stop" + (by ? " by " + by : "") + (reason ? ": " + reason : ""));
    this.name = "CancelRequestedError";
    this.by = by;
    this.reason = reason;
  }
}

/** The server has answered that it does not do what it was asked for. */
export class ServerError extends Error {
  /**
   * @param {number} status
   * @param {any} problem  the body, if it was a problem+json
   * @param {string} [fallback]
   */
  constructor(status, problem, fallback = "") {
    super(`${problem?.title ?? "the server answered"} (${status})${problem?.detail ? ": " + problem.detail : fallback && ": " + fallback}`);
    this.name = "ServerError";
    this.status = status;
    /** The type of the problem, such as "/problems/closed". */
    this.type = /** @type {string} */ (problem?.type ?? "");
    this.problem = problem;
    /** How long the server asks to wait before the next try. */
    this.retryAfterMs = 0;
  }
}

const aborted = new Set(["AbortError", "CancelledError", "CanceledError", "ModelAbortError", "CancelRequestedError"]);

/** Names that say little: what such an error wraps may say more. */
const general = new Set(["", "Error", "TypeError", "AggregateError"]);

/**
 * What the error and the ones that it wraps are, outermost first.
 * @param {unknown} err
 * @returns {unknown[]}
 */
function chain(err) {
  const found = [err];
  try {
    for (let i = 0; i < found.length && found.length < 32; i++) {
      const e = /** @type {any} */ (found[i]);
      if (typeof e !== "object" || e === null) continue;
      if (e.cause !== undefined && !found.includes(e.cause)) found.push(e.cause);
      if (Array.isArray(e.errors)) found.push(...e.errors.slice(0, 8));
    }
  } catch {
    // an error that does not like to be looked at wraps nothing
  }
  return found;
}

/**
 * Whether err is the told error or wraps it.
 * @param {unknown} err
 * @param {unknown} told
 */
export function isOrWraps(err, told) {
  return typeof told === "object" && told !== null && chain(err).includes(told);
}

/**
 * Whether the error says that work was broken off.
 * @param {unknown} err
 */
export function isAborted(err) {
  return chain(err).some((e) => aborted.has(nameOf(e)) || looked(() => e instanceof Error && e.message === "Abort"));
}

/**
 * The request to stop, if the error is one or wraps one.
 * @param {unknown} err
 * @returns {CancelRequestedError | undefined}
 */
export function cancelRequest(err) {
  return /** @type {CancelRequestedError | undefined} */ (chain(err).find((e) => looked(() => e instanceof CancelRequestedError)));
}

/**
 * What sort of error it is: aborted, timeout, what it calls itself, or "".
 * @param {unknown} err
 */
export function errorKind(err) {
  const name = nameOf(err);
  if (name === "TimeoutError") return "timeout";
  if (aborted.has(name)) return "aborted";
  if (!general.has(name)) return name;
  if (isAborted(err)) return "aborted";
  if (chain(err).some((e) => nameOf(e) === "TimeoutError")) return "timeout";
  return name === "Error" ? "" : name;
}

/**
 * What a look at an error gives; false if it does not like to be looked at.
 * @param {() => boolean} look
 */
function looked(look) {
  try {
    return look();
  } catch {
    return false;
  }
}

/** @param {unknown} e */
function nameOf(e) {
  try {
    const name = e instanceof Error || (typeof e === "object" && e !== null) ? /** @type {any} */ (e).name : "";
    return typeof name === "string" ? name : "";
  } catch {
    return "";
  }
}

export { textOf };
