import { Backoff, sleep, unrefTimer } from "./backoff.js";
import { ServerError } from "./errors.js";
import { Server, jobPath } from "./http.js";
import { SSEParser } from "./sse.js";

/**
 * An event of a job, and where it stands.
 * @typedef {object} JobEvent
 * @property {string} id  given by the store, strictly increasing within the job
 * @property {string} job_id
 * @property {string} event_type
 * @property {string} timestamp
 * @property {any} data
 * @property {string} cursor  follow after this to go on behind the event
 * @property {undefined} [control]
 */

/**
 * What is said about the stream itself, in its place among the events.
 *
 * - `gap`: events behind your cursor were removed; it goes on with `first_id`.
 * - `rewound`: the log is another one than your cursor's; it starts over from the
 *   log's start, so drop what you have.
 * - `deleted`: the job was deleted; nothing comes after it.
 * - `stalled`, `resumed`: the worker gives no sign of life; signs of life are back.
 * - `disconnected`, `connected`: the server is away and tried again; it is back.
 *
 * @typedef {object} Control
 * @property {"gap" | "rewound" | "deleted" | "stalled" | "resumed" | "disconnected" | "connected"} control
 * @property {undefined} [event_type]
 * @property {any} data  what the server says with it
 * @property {unknown} [error]  of disconnected
 */

/**
 * @typedef {object} Follow
 * @property {string} [after]  go on after this cursor or event ID; from the start if left out
 * @property {string[]} [types]  events of these types only
 * @property {number} [waitSeconds]  wait so long for a job that does not exist yet, instead of failing; 0
 * @property {AbortSignal} [signal]  ends the iteration
 * @property {number} [quietMs]  a connection on which nothing comes for so long is given up; 45,000
 *
 * @typedef {import("./http.js").ServerOptions & Follow} FollowOptions
 */

/**
 * A job's events: its history, then live, in order, each once, until the job
 * ends. It reconnects and resumes by itself, for as long as it takes. It throws
 * if the server refuses: an unknown job, a token that is not enough.
 *
 *     for await (const e of follow("http://127.0.0.1:8080", "job-42")) {
 *       if (e.control) console.log("stream:", e.control);
 *       else console.log(e.event_type, e.data);
 *     }
 *
 * @param {string | URL | Server} server
 * @param {string} jobId
 * @param {FollowOptions} [options]
 * @returns {AsyncGenerator<JobEvent | Control, void, undefined>}
 */
export async function* follow(server, jobId, options = {}) {
  const f = new Follower(server instanceof Server ? server : new Server(server, options), jobId, options);
  const { signal } = options;
  let connected = true; // as far as was told
  while (!signal?.aborted) {
    let pause;
    try {
      const stream = await f.connect();
      if (!stream) return;
      try {
        if (!connected) yield control("connected");
        connected = true;
        for await (const message of stream.messages()) {
          for (const item of f.items(message)) yield item;
          if (f.ended) return;
        }
        f.backoff.reset();
        pause = (stream.parser.retry ?? 1000) * (0.5 + Math.random() / 2);
      } finally {
        stream.close();
      }
    } catch (err) {
      if (signal?.aborted) return;
      if (!passing(err)) throw err;
      if (connected) yield { ...control("disconnected"), error: err };
      connected = false;
      pause = Math.max(f.backoff.pause(), err instanceof ServerError ? err.retryAfterMs : 0);
    }
    await sleep(pause, signal);
  }
}

/** @param {Control["control"]} name @param {any} [data] @returns {Control} */
function control(name, data = {}) {
  return { control: name, data };
}

/**
 * Whether the error may be gone at the next try.
 * @param {unknown} err
 */
function passing(err) {
  if (!(err instanceof ServerError)) return !(err instanceof InvalidStreamError);
  return err.status >= 500 || err.status === 429 || err.status === 408;
}

class InvalidStreamError extends Error {}

class Follower {
  backoff = new Backoff(100, 10_000);
  ended = false;

  /**
   * @param {Server} server
   * @param {string} jobId
   * @param {FollowOptions} options
   */
  constructor(server, jobId, options) {
    this.server = server;
    this.jobId = jobId;
    this.options = options;
    this.cursor = options.after ?? "";
    /** @type {Record<string, string>} */
    this.query = {};
    if (options.types?.length) this.query.type = options.types.join(",");
    if (options.waitSeconds) this.query.wait = String(Math.min(300, Math.ceil(options.waitSeconds)));
  }

  /** A connection, or undefined if the job has ended at the cursor. */
  async connect() {
    const c = new AbortController();
    const stop = () => c.abort();
    const { signal } = this.options;
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop);
    const close = () => {
      c.abort();
      signal?.removeEventListener("abort", stop);
    };
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (this.cursor) headers["Last-Event-ID"] = this.cursor;
      const answer = await this.server.request("GET", jobPath(this.jobId, "/events"), { headers, query: this.query, signal: c.signal });
      if (answer.status !== 204 && answer.body) return new Stream(answer.body, c, close, this.options.quietMs ?? 45_000);
    } catch (err) {
      close();
      throw err;
    }
    close();
    return undefined;
  }

  /**
   * What a message says.
   * @param {import("./sse.js").Message} m
   * @returns {Generator<JobEvent | Control>}
   */
  *items(m) {
    if (m.id === undefined) return yield* this.control(m);
    const e = parse(m.data);
    if (typeof e?.event_type !== "string") throw new InvalidStreamError(`the server sent an event that can't be read after ${this.cursor || "the start"}`);
    const before = incarnation(this.cursor);
    const now = incarnation(m.id);
    if (before && now && before !== now) {
      yield control("rewound", { after: this.cursor, incarnation: now });
    } else if (this.cursor && !isAfter(m.id, this.cursor)) {
      return; // given before
    }
    this.cursor = m.id;
    yield { ...e, cursor: m.id };
  }

  /**
   * @param {import("./sse.js").Message} m
   * @returns {Generator<Control>}
   */
  *control(m) {
    const data = parse(m.data) ?? {};
    switch (m.event) {
      case "end":
        this.ended = true;
        return;
      case "deleted":
        this.ended = true;
        return yield control("deleted", data);
      case "gap":
        this.cursor = before(data.first_id) + (data.incarnation ? "~" + data.incarnation : "");
        return yield control("gap", data);
      case "rewound":
        this.cursor = "0-0" + (data.incarnation ? "~" + data.incarnation : "");
        return yield control("rewound", data);
      case "stalled":
      case "resumed":
        return yield control(m.event, data);
    }
  }
}

/** One connection. */
class Stream {
  parser = new SSEParser();

  /**
   * @param {ReadableStream<Uint8Array>} body
   * @param {AbortController} connection
   * @param {() => void} close
   * @param {number} quietMs
   */
  constructor(body, connection, close, quietMs) {
    this.reader = body.getReader();
    this.connection = connection;
    this.close = close;
    this.quietMs = quietMs;
  }

  async *messages() {
    const decoder = new TextDecoder();
    for (;;) {
      const timer = unrefTimer(setTimeout(() => this.connection.abort(new DOMException("nothing came on the connection", "TimeoutError")), this.quietMs));
      const { value, done } = await this.reader.read().finally(() => clearTimeout(timer));
      if (done) return;
      yield* this.parser.push(decoder.decode(value, { stream: true }));
    }
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The tag of one life of the job ID, if the cursor has one.
 * @param {string} cursor */
function incarnation(cursor) {
  return cursor.split("~")[1] ?? "";
}

/** @param {string} cursor */
function numbers(cursor) {
  const m = /^(\d+)-(\d+)/.exec(cursor);
  return m ? /** @type {[bigint, bigint]} */ ([BigInt(m[1]), BigInt(m[2])]) : undefined;
}

/**
 * @param {string} a
 * @param {string} b
 */
function isAfter(a, b) {
  const x = numbers(a);
  const y = numbers(b);
  if (!x || !y) return true;
  return x[0] > y[0] || (x[0] === y[0] && x[1] > y[1]);
}

/** The greatest ID below this one.
 * @param {string} id */
function before(id) {
  const n = numbers(String(id));
  if (!n) return "0-0";
  if (n[1] > 0n) return `${n[0]}-${n[1] - 1n}`;
  return n[0] > 0n ? `${n[0] - 1n}-18446744073709551615` : "0-0";
}

/**
 * Asks a job to stop. It stops when its worker does.
 * @param {string | URL | Server} server
 * @param {string} jobId
 * @param {import("./http.js").ServerOptions & {reason?: string, by?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the job
 */
export async function cancel(server, jobId, options = {}) {
  const s = server instanceof Server ? server : new Server(server, options);
  const { reason, by, signal } = options;
  return s.json("POST", jobPath(jobId, "/cancel"), { body: JSON.stringify({ reason, by }), signal });
}
