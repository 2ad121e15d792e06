import { Backoff, sleep, unrefTimer } from "./backoff.js";
import { ServerError, CancelRequestedError } from "./errors.js";
import { Queue, eventJSON } from "./queue.js";

/**
 * What carries a job's events to a store.
 * @typedef {object} Transport
 * @property {(jobId: string, body: string, producer: Producer, signal: AbortSignal) => Promise<{duplicate?: boolean}>} append
 *   appends a JSON array of events, whole or not at all
 * @property {(jobId: string, ttlMs: number, producer: Producer, signal: AbortSignal) => Promise<{cancel_requested?: boolean}>} heartbeat
 * @property {(jobId: string, signal: AbortSignal) => Promise<CancelRequestedError | undefined>} awaitCancel
 *   waits until the job is asked to stop; undefined: it has ended, or the signal did
 */

/**
 * The identity of a writer: a batch whose seq was appended before is not
 * appended again.
 * @typedef {object} Producer
 * @property {string} id
 * @property {number} epoch
 * @property {number} seq
 */

/**
 * @typedef {object} OutboxOptions
 * @property {string} producerId
 * @property {number} epoch  0: the Unix time in milliseconds
 * @property {number} queueBytes
 * @property {number} coalesceMs
 * @property {number} heartbeatMs
 * @property {number} leaseMs
 * @property {number} tryTimeoutMs
 * @property {number} lingerMs
 * @property {Logger} logger
 */

/** @typedef {{warn: (message: string) => void, error: (message: string) => void}} Logger */

/** Sequence numbers and epochs fit into a JSON number. */
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

let lastEpoch = 0;

/** An epoch above every one that this process has used. */
function nextEpoch() {
  return (lastEpoch = Math.max(Date.now(), lastEpoch + 1));
}

/** The events of one job on their way: in order, each once. */
export class Outbox {
  sent = 0;
  retried = 0;
  /** @type {any} */
  beating; // the timer of heartbeats
  /** Ends when the job is asked to stop, or another writer has taken it over. */
  stop = new AbortController();
  /** Why it was asked to stop.
   * @type {CancelRequestedError | undefined} */
  asked;
  /** @type {Promise<void>} */
  finished;
  stored = false; // the first batch is
  /** @type {(() => void)[]} */
  waiting = []; // for progress

  /**
   * @param {Transport} transport
   * @param {string} jobId
   * @param {OutboxOptions} options
   */
  constructor(transport, jobId, options) {
    this.transport = transport;
    this.jobId = jobId;
    this.options = options;
    this.log = options.logger;
    this.queue = new Queue(options.queueBytes);
    this.ownEpoch = !options.epoch;
    this.producer = { id: options.producerId, epoch: options.epoch || nextEpoch(), seq: 0 };
    this.fresh = true; // nothing was sent yet, so nothing can be a duplicate
    this.urgent = 0; // callers of flush
    this.abort = new AbortController(); // of sending
    /** @type {AbortController | undefined} */
    this.watching = undefined;
    this.wantsWatch = false;
    this.over = false; // nothing more will be put
    this.wake = () => {};
    this.finished = this.run();
  }

  /**
   * @param {string} type
   * @param {string} data
   * @param {boolean} [terminal]
   * @param {number} [at]
   */
  put(type, data, terminal = false, at = Date.now()) {
    this.queue.putEvent(type, at, data, terminal);
    if (terminal) this.finish();
    this.wake();
  }

  /**
   * @param {import("./runs.js").ModelRun} stream
   * @param {string} channel
   * @param {string} text
   */
  putDelta(stream, channel, text) {
    this.queue.putDelta(stream, channel, text);
    this.wake();
  }

  /** Counts an event that came after the end. */
  stray() {
    this.queue.stray();
  }

  /** Nothing more will be put: heartbeats and the watch for a request to stop end. */
  finish() {
    this.over = true;
    this.queue.closed = true;
    clearInterval(this.beating);
    this.watch(false);
    this.wake();
  }

  /**
   * Nothing of this writer will be taken any more.
   * @param {Error} reason
   */
  refuse(reason) {
    this.log.warn(`tidings: the server takes no more events of this handler: job ${this.jobId}: ${reason.message}`);
    this.queue.refuse(reason);
    this.stop.abort(reason);
    this.finish();
    this.progress();
  }

  /**
   * The job can't be told of: what is put is counted and goes nowhere. The agent
   * is not to notice, so the signal does not end.
   * @param {string} reason
   */
  unobserved(reason) {
    this.log.error(`tidings: job ${this.jobId} runs unobserved: ${reason}`);
    this.queue.refuse(new Error(reason));
    this.finish();
  }

  // --- sending ---------------------------------------------------------------

  async run() {
    try {
      for (;;) {
        const ms = this.dueIn();
        if (ms > 0) {
          if (this.queue.closed || this.abort.signal.aborted) break;
          await this.woken(ms);
          continue;
        }
        await macrotask(); // the agent goes first
        const { items, bytes } = this.queue.pop(performance.now());
        if (items.length > 0) this.queue.dropped += await this.deliver(items.map(eventJSON));
        this.queue.settle(items.length, bytes);
        this.progress();
        if (this.abort.signal.aborted) break;
      }
    } catch (err) {
      this.log.error(`tidings: sending has ended by a fault of its own; events of job ${this.jobId} are lost: ${err}`);
    }
    this.queue.dropped += this.queue.empty();
    this.progress();
  }

  dueIn() {
    if (this.urgent > 0 && this.queue.items.length > 0) return 0;
    return this.queue.due(performance.now(), this.options.coalesceMs);
  }

  /** @param {number} ms */
  woken(ms) {
    return new Promise((/** @type {(v: void) => void} */ resolve) => {
      const timer = ms < Infinity ? setTimeout(() => this.wake(), ms) : undefined;
      this.wake = () => {
        this.wake = () => {};
        clearTimeout(timer);
        resolve();
      };
    });
  }

  progress() {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /**
   * Appends the batch and says how many of its events are lost.
   * @param {string[]} events
   */
  async deliver(events) {
    const outage = new Outage(this);
    for (;;) {
      if (this.abort.signal.aborted) return events.length;
      try {
        const { duplicate } = await this.try(events);
        if (duplicate && this.fresh && outage.tries === 0) {
          this.goBehind();
          continue;
        }
        this.producer.seq++;
        this.count(events.length);
        return 0;
      } catch (err) {
        switch (judge(err)) {
          case "unfit":
            return await this.deliverSingly(events);
          case "outOfSequence":
            this.renumber(/** @type {ServerError} */ (err));
            break;
          case "final":
            this.queue.strays += events.length;
            this.refuse(/** @type {Error} */ (err));
            return 0;
        }
        await outage.pause(err);
      }
    }
  }

  /** @param {string[]} events */
  async try(events) {
    const { signal, done } = deadline(this.options.tryTimeoutMs, this.abort.signal);
    try {
      return await this.transport.append(this.jobId, `[${events.join(",")}]`, { ...this.producer }, signal);
    } finally {
      done();
    }
  }

  /** @param {number} events */
  count(events) {
    this.sent += events;
    this.fresh = false;
    if (this.stored) return;
    this.stored = true;
    if (this.over) return;
    this.beat();
    if (this.wantsWatch) this.watch(true);
  }

  /**
   * An earlier start used the same epoch, as a task that its queue delivers again
   * without counting: go on behind its batches.
   */
  goBehind() {
    this.fresh = false;
    if (this.ownEpoch) this.takeOver();
    else this.producer.seq = MAX_NUMBER; // the refusal says the next one
  }

  takeOver() {
    this.producer.epoch = Math.max(nextEpoch(), this.producer.epoch + 1);
    this.producer.seq = 0;
  }

  /**
   * The store has lost its memory of this producer. A higher epoch also fences
   * off requests that may still be under way; one that was given belongs to its
   * giver, so there the store's count is taken up.
   * @param {ServerError} err
   */
  renumber(err) {
    if (this.ownEpoch) this.takeOver();
    else this.producer.seq = Number(err.problem?.expected_seq) || 0;
    this.log.warn(`tidings: the store counts the batches of job ${this.jobId} otherwise; going on as epoch ${this.producer.epoch}, seq ${this.producer.seq}`);
  }

  /**
   * Appends the events of a batch that was refused as a whole one by one, and
   * drops those that are refused again.
   * @param {string[]} events
   */
  async deliverSingly(events) {
    let lost = 0;
    for (let i = 0; i < events.length; i++) {
      if (this.abort.signal.aborted) return lost + events.length - i;
      if (this.queue.refusing) this.queue.strays++;
      else if (!(await this.deliverOne(events[i]))) lost++;
    }
    return lost;
  }

  /**
   * @param {string} event
   * @returns {Promise<boolean>} false: it is lost
   */
  async deliverOne(event) {
    const outage = new Outage(this);
    while (!this.abort.signal.aborted) {
      try {
        await this.try([event]);
        this.producer.seq++;
        this.count(1);
        return true;
      } catch (err) {
        switch (judge(err)) {
          case "final":
            this.queue.strays++;
            this.refuse(/** @type {Error} */ (err));
            return true;
          case "unfit":
            this.log.error(`tidings: the server refuses an event of job ${this.jobId}; it is dropped: ${err}: ${event.slice(0, 200)}`);
            return false;
          case "outOfSequence":
            this.renumber(/** @type {ServerError} */ (err));
        }
        await outage.pause(err);
      }
    }
    return false;
  }

  // --- the other way ---------------------------------------------------------

  /** Begins to send signs of life. */
  beat() {
    if (!(this.options.heartbeatMs > 0)) return;
    const beat = async () => {
      const { signal, done } = deadline(Math.min(this.options.heartbeatMs, this.options.tryTimeoutMs), this.abort.signal);
      try {
        const { cancel_requested } = await this.transport.heartbeat(this.jobId, this.options.leaseMs, { ...this.producer, seq: 0 }, signal);
        if (cancel_requested && !this.asked && !this.watching) await this.listen(signal);
      } catch (err) {
        if (judge(err) === "final" && !this.over) this.refuse(/** @type {Error} */ (err));
      } finally {
        done();
      }
    };
    this.beating = unrefTimer(setInterval(beat, this.options.heartbeatMs));
    void beat();
  }

  /**
   * Begins or ends to listen whether somebody asks the job to stop.
   * @param {boolean} on
   */
  watch(on) {
    this.wantsWatch = on && !this.over;
    if (!this.wantsWatch) {
      this.watching?.abort();
      this.watching = undefined;
    } else if (!this.watching && this.stored && !this.asked) {
      this.watching = new AbortController();
      void this.listen(this.watching.signal);
    }
  }

  /** @param {AbortSignal} signal */
  async listen(signal) {
    const backoff = new Backoff(200, 10_000);
    while (!signal.aborted) {
      try {
        const asked = await this.transport.awaitCancel(this.jobId, signal);
        if (asked && !this.asked) {
          this.asked = asked;
          this.stop.abort(asked);
        }
        return;
      } catch {
        await sleep(backoff.pause(), signal, true);
      }
    }
  }

  // --- waiting ---------------------------------------------------------------

  /**
   * Waits until everything that was put before is stored; false: it is not.
   * @param {number} timeoutMs
   */
  async flush(timeoutMs) {
    const target = this.queue.put;
    const until = performance.now() + timeoutMs;
    this.urgent++;
    this.wake();
    while (this.queue.settled < target && performance.now() < until) {
      await this.nextProgress(until - performance.now());
    }
    this.urgent--;
    return this.queue.settled >= target && !this.queue.refusing;
  }

  /** @param {number} ms */
  async nextProgress(ms) {
    const signal = new AbortController();
    this.waiting.push(() => signal.abort());
    await sleep(ms, signal.signal);
  }

  /**
   * Sends what is queued, for at most so long; what can't be sent by then is
   * dropped. False: something was.
   * @param {number} timeoutMs
   */
  async close(timeoutMs) {
    this.finish();
    const flushed = await this.flush(timeoutMs);
    const lost = this.queue.put - this.queue.settled;
    if (lost > 0) this.log.error(`tidings: ${lost} events of job ${this.jobId} could not be sent in ${timeoutMs} ms and are lost`);
    this.abort.abort();
    await this.finished;
    this.stop.abort(new DOMException("the handler was closed", "AbortError"));
    return flushed && lost === 0;
  }

  /** @returns {Stats} */
  stats() {
    const q = this.queue;
    return {
      queued: q.put - q.settled,
      queuedBytes: q.bytes,
      sent: this.sent,
      dropped: q.dropped,
      retried: this.retried,
      strays: q.strays,
    };
  }
}

/**
 * Counters.
 * @typedef {object} Stats
 * @property {number} queued  events that are not acknowledged yet
 * @property {number} queuedBytes
 * @property {number} sent  events acknowledged
 * @property {number} dropped  events lost: the queue was full, the server refused them, or it was closed before
 * @property {number} retried  tries of a batch after the first
 * @property {number} strays  events that came after the end
 */

/** The time in which a batch can't be appended. */
class Outage {
  tries = 0;
  since = performance.now();

  /** @param {Outbox} outbox */
  constructor(outbox) {
    this.outbox = outbox;
    this.backoff = new Backoff();
  }

  /** @param {unknown} err */
  async pause(err) {
    const { log, jobId, options, abort } = this.outbox;
    if ((this.tries & (this.tries + 1)) === 0 && !abort.signal.aborted) {
      log.warn(`tidings: can't append to job ${jobId}; trying again (try ${this.tries + 1}): ${describe(err)}`);
    }
    this.tries++;
    this.outbox.retried++;
    const asked = err instanceof ServerError ? Math.min(err.retryAfterMs, 30_000) : 0;
    // A process that has nothing else to do waits for the server only so long.
    const unref = performance.now() - this.since > options.lingerMs;
    await sleep(Math.max(this.backoff.pause(), asked), abort.signal, unref);
  }
}

/** @param {any} err */
function describe(err) {
  return err?.cause?.message ? `${err.message}: ${err.cause.message}` : String(err?.message ?? err);
}

/**
 * What an error means for the batch: try the same again, unless it says that the
 * events are the trouble, that the store has lost count, or that nothing of this
 * writer will be taken.
 * @param {unknown} err
 */
function judge(err) {
  if (!(err instanceof ServerError)) return "unknown";
  switch (err.type) {
    case "/problems/closed":
    case "/problems/fenced":
      return "final";
    case "/problems/sequence":
      return "outOfSequence";
    case "/problems/invalid":
    case "/problems/too-large":
      return "unfit";
  }
  return err.status === 413 ? "unfit" : "unknown"; // of a proxy
}

/**
 * A signal that ends after so long, or with another.
 * @param {number} ms
 * @param {AbortSignal} signal
 */
function deadline(ms, signal) {
  const c = new AbortController();
  const abort = () => c.abort(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  const timer = setTimeout(() => c.abort(new DOMException(`no answer in ${ms} ms`, "TimeoutError")), ms);
  const done = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  };
  return { signal: c.signal, done };
}

/** Lets what waits run first. */
function macrotask() {
  const { setImmediate } = /** @type {any} */ (globalThis);
  return new Promise((/** @type {(v?: any) => void} */ resolve) => (setImmediate ? setImmediate(resolve) : setTimeout(resolve)));
}
