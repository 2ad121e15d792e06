import { follow } from "./follow.js";
import { CancelRequestedError, ServerError } from "./errors.js";
import { Server, jobPath } from "./http.js";
import { Outbox } from "./outbox.js";

/**
 * Settings of a publisher; every one may be left out.
 * @typedef {object} PublisherSettings
 * @property {number} [queueBytes]  memory, a job, for events that are not acknowledged yet; 8 MiB
 * @property {number} [coalesceMs]  how long the deltas of a stream are gathered into one event; the first after a pause goes at once; 25
 * @property {number} [heartbeatMs]  pause between signs of life; 10,000; negative: none are sent
 * @property {number} [leaseMs]  how long one sign of life holds; 30,000
 * @property {number} [tryTimeoutMs]  how long one try may take; 30,000
 * @property {number} [lingerMs]  how long a process that has nothing else to do waits for a server that is away; 30,000
 * @property {import("./outbox.js").Logger} [logger]  takes warnings; console
 *
 * @typedef {import("./http.js").ServerOptions & PublisherSettings} PublisherOptions
 */

/**
 * What a handler asks a publisher for.
 * @typedef {object} JobOptions
 * @property {string} [producerId]
 * @property {number} [epoch]
 * @property {import("./outbox.js").Logger} [logger]
 */

/** The name of a writer that was given none. */
const DEFAULT_PRODUCER_ID = "callback";

/**
 * Publishes the events of any number of jobs to a Tidings server: in the
 * background, in order, each once, also if the server is away for a while. Its
 * methods don't throw.
 */
export class HTTPPublisher {
  /** @type {Set<Outbox>} */
  outboxes = new Set();

  /**
   * @param {string | URL} url  of the server
   * @param {PublisherOptions} [options]
   */
  constructor(url, options = {}) {
    this.server = new Server(url, options);
    this.settings = {
      queueBytes: options.queueBytes ?? 8 << 20,
      coalesceMs: options.coalesceMs ?? 25,
      heartbeatMs: options.heartbeatMs ?? 10_000,
      leaseMs: options.leaseMs ?? 30_000,
      tryTimeoutMs: options.tryTimeoutMs ?? 30_000,
      lingerMs: options.lingerMs ?? 30_000,
      logger: options.logger ?? console,
    };
    this.closed = false;
    this.past = { sent: 0, dropped: 0, retried: 0, strays: 0 };
  }

  /**
   * A queue for the events of a job; for handlers.
   * @param {string} jobId
   * @param {JobOptions} [options]
   */
  open(jobId, options = {}) {
    const outbox = new Outbox(this, jobId, {
      ...this.settings,
      producerId: options.producerId || DEFAULT_PRODUCER_ID,
      epoch: options.epoch ?? 0,
      logger: options.logger ?? this.settings.logger,
    });
    if (this.closed) outbox.unobserved("the publisher was closed before");
    this.outboxes.add(outbox);
    void outbox.finished.then(() => this.forget(outbox));
    return outbox;
  }

  /** @param {Outbox} outbox */
  forget(outbox) {
    if (!this.outboxes.delete(outbox)) return;
    const s = outbox.stats();
    for (const name of /** @type {const} */ (["sent", "dropped", "retried", "strays"])) this.past[name] += s[name];
  }

  /**
   * Waits until everything that was published before is stored; false: it was not
   * in that time, or the server refused something.
   * @param {{timeoutMs?: number}} [options]  30,000
   */
  async flush({ timeoutMs = 30_000 } = {}) {
    const all = await Promise.all([...this.outboxes].map((o) => o.flush(timeoutMs)));
    return all.every(Boolean);
  }

  /**
   * Sends what is queued and takes nothing more. What can't be sent in that time
   * is dropped; false says so. It does not end the jobs.
   * @param {{timeoutMs?: number}} [options]  10,000
   */
  async close({ timeoutMs = 10_000 } = {}) {
    this.closed = true;
    const all = await Promise.all([...this.outboxes].map((o) => o.close(timeoutMs)));
    return all.every(Boolean);
  }

  /** The counters of all jobs of this publisher.
   * @returns {import("./outbox.js").Stats} */
  stats() {
    const sum = { queued: 0, queuedBytes: 0, ...this.past };
    for (const o of this.outboxes) {
      const s = o.stats();
      for (const name of /** @type {(keyof typeof s)[]} */ (Object.keys(s))) sum[name] += s[name];
    }
    return sum;
  }

  // --- the transport of its outboxes -----------------------------------------

  /** @type {import("./outbox.js").Transport["append"]} */
  append(jobId, body, producer, signal) {
    return this.server.json("POST", jobPath(jobId, "/events"), { body, signal, headers: { ...producerHeaders(producer), "Producer-Seq": String(producer.seq) } });
  }

  /** @type {import("./outbox.js").Transport["heartbeat"]} */
  heartbeat(jobId, ttlMs, producer, signal) {
    return this.server.json("POST", jobPath(jobId, "/heartbeat"), { body: `{"ttl_ms":${ttlMs}}`, signal, headers: producerHeaders(producer) });
  }

  /** @type {import("./outbox.js").Transport["awaitCancel"]} */
  async awaitCancel(jobId, signal) {
    for (let job = await this.job(jobId, signal); ; job = await this.job(jobId, signal)) {
      if (job?.cancel) return new CancelRequestedError(job.cancel.by, job.cancel.reason);
      if (job?.closed || signal.aborted) return undefined;
      const after = job ? `${job.last_id}~${job.incarnation}` : undefined;
      for await (const e of follow(this.server, jobId, { after, types: ["cancel_requested"], waitSeconds: 300, signal })) {
        if (e.event_type === "cancel_requested") return new CancelRequestedError(e.data?.by, e.data?.reason);
        if (e.control === "gap" || e.control === "rewound") break; // what is gone may have held the request: look again
      }
      if (signal.aborted) return undefined;
    }
  }

  /**
   * @param {string} jobId
   * @param {AbortSignal} signal
   */
  async job(jobId, signal) {
    try {
      return await this.server.json("GET", jobPath(jobId), { signal });
    } catch (err) {
      if (err instanceof ServerError && err.type === "/problems/unknown-job") return undefined;
      throw err;
    }
  }
}

/** @param {import("./outbox.js").Producer} p */
function producerHeaders(p) {
  return { "Producer-Id": p.id, "Producer-Epoch": String(p.epoch) };
}
