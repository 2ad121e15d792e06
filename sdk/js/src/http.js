import { ServerError } from "./errors.js";
import { byteLength, wellFormed } from "./text.js";

/**
 * How to speak to a server.
 * @typedef {object} ServerOptions
 * @property {string | (() => string | Promise<string>)} [token]  API key or JWT, or what gives one, asked each time
 * @property {Record<string, string>} [headers]  sent with every request
 * @property {typeof globalThis.fetch} [fetch]  used instead of the global one
 */

/** The HTTP API of one server. */
export class Server {
  /**
   * @param {string | URL} url
   * @param {ServerOptions} [options]
   */
  constructor(url, options = {}) {
    this.url = String(url).replace(/\/+$/, "");
    const { username, password } = new URL(this.url); // throws here, and not later, if it is none
    if (username || password) throw new TypeError("the URL of a server has no user and password: give a token, or headers"); // it would stand in logs
    this.token = options.token;
    this.headers = options.headers;
    this.fetch = options.fetch ?? ((/** @type {any} */ input, /** @type {any} */ init) => globalThis.fetch(input, init));
  }

  /**
   * Sends a request. Every answer but a success is an error.
   * @param {string} method
   * @param {string} path
   * @param {{body?: string, headers?: Record<string, string>, signal?: AbortSignal | null, query?: Record<string, string>}} [init]
   */
  async request(method, path, init = {}) {
    const query = new URLSearchParams(init.query).toString();
    const headers = { ...this.headers, ...init.headers };
    const token = (typeof this.token === "function" ? await this.token() : this.token)?.trim(); // read from a file, it ends a line
    if (token && !/^[!-~]+$/.test(token)) throw new TypeError("the token has characters that no token has: give it as it was issued, on one line");
    if (token) headers.Authorization = `Bearer ${token}`;
    if (init.body !== undefined) headers["Content-Type"] = "application/json";
    const answer = await this.fetch(this.url + path + (query && "?" + query), { method, headers, body: init.body, signal: init.signal });
    if (!answer.ok) throw await problem(answer);
    return answer;
  }

  /**
   * Sends a request and reads the answer as JSON.
   * @param {string} method
   * @param {string} path
   * @param {Parameters<Server["request"]>[2]} [init]
   * @returns {Promise<any>}
   */
  async json(method, path, init) {
    const text = await (await this.request(method, path, init)).text();
    return text === "" ? {} : JSON.parse(text);
  }
}

/** @param {Response} answer */
async function problem(answer) {
  const text = await answer.text().catch(() => "");
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined; // not from the server itself, but from something before it
  }
  const err = new ServerError(answer.status, body, text.slice(0, 200));
  err.retryAfterMs = 1000 * (Number(answer.headers.get("Retry-After")) || 0);
  return err;
}

/**
 * The path of what belongs to a job.
 * @param {string} jobId
 * @param {string} [rest]  such as "/events"
 */
export function jobPath(jobId, rest = "") {
  return `/v1/jobs/${encodeURIComponent(wellFormed(jobId))}${rest}`;
}

/**
 * Says why the job ID can't be one; "" if it can.
 * @param {unknown} jobId
 */
export function badJobId(jobId) {
  if (typeof jobId !== "string" || jobId === "") return "a job ID is a string that is not empty";
  if (byteLength(jobId) > 255) return "a job ID has at most 255 bytes";
  if (/[{}\u0000-\u001f\u007f-\u009f]/.test(jobId)) return "a job ID has no braces and no control characters";
  if (jobId === "." || jobId === ".." || jobId === "/") return `${JSON.stringify(jobId)} is no job ID`;
  if (wellFormed(jobId) !== jobId) return "a job ID has no halves of surrogate pairs";
  return "";
}
