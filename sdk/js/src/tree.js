import { isOrWraps } from "./errors.js";

/** @typedef {import("./runs.js").Run} Run */

const COUNTS = /** @type {const} */ (["input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens"]);

/** How many told errors are remembered. One climbs a few levels. */
const MAX_REPORTS = 64;

/**
 * What a handler remembers of the runs of its job.
 */
export class Tree {
  open = 0; // runs and streams that have not ended
  roots = 0; // of them the roots
  suspended = false; // the last root ended while input was waited for
  /** @type {Run | undefined} */
  lastRoot; // the root that ended last, if none has begun since
  /** @type {unknown} */
  failure; // its error
  /** @type {{err: unknown, text: string, run: Run | undefined}[]} */
  reported = []; // errors whose text was told
  /** @type {import("./runs.js").Usage | undefined} */
  usage;
  /** @type {{amount: number, currency: string}[]} */
  costs = [];
  over = false; // the terminal event was queued

  /**
   * Enters the run and says how its beginning is told.
   * @param {Run} r
   */
  enter(r) {
    this.open++;
    if (!r.isRoot) return "started";
    this.roots++;
    this.lastRoot = undefined;
    if (!this.suspended) return "started";
    this.suspended = false;
    return "resumed";
  }

  /**
   * Marks the run as ended and says how that is told; undefined: it was before.
   * @param {Run} r
   * @param {unknown} err
   * @returns {"completed" | "failed" | "interrupted" | "" | undefined} "": was told before
   */
  close(r, err) {
    if (r.ended) return undefined;
    r.ended = true;
    const failed = err !== undefined;
    if (failed) this.stopWaiting(r);
    if (r.isRoot) {
      this.lastRoot = r;
      this.failure = err;
      this.suspended = !failed && r.waiting > 0;
    }
    if (failed) return "failed";
    if (r.interrupted) return "";
    return r.waiting > 0 ? "interrupted" : "completed";
  }

  /**
   * Takes the ended run out of the tree.
   * @param {Run} r
   */
  leave(r) {
    this.open--;
    if (r.isRoot) this.roots--;
  }

  /**
   * Marks the run as waiting; says whether none beneath it was, or undefined if
   * it was so before.
   * @param {Run} r
   */
  interrupt(r) {
    if (r.ended || r.interrupted) return undefined;
    const first = r.waiting === 0;
    r.interrupted = true;
    for (let a = /** @type {Run | undefined} */ (r); a; a = a.parent) a.waiting++;
    return first;
  }

  /** @param {Run} r */
  stopWaiting(r) {
    if (!r.interrupted) return false;
    r.interrupted = false;
    for (let a = /** @type {Run | undefined} */ (r); a; a = a.parent) a.waiting--;
    return true;
  }

  /**
   * The run beneath r that told of err before; or it is remembered that r tells
   * of it now, and undefined.
   * @param {unknown} err
   * @param {string} text
   * @param {Run | undefined} r undefined: the job itself
   */
  cause(err, text, r) {
    for (let i = this.reported.length - 1; i >= 0; i--) {
      const told = this.reported[i];
      if (told.run && told.run !== r && told.run.beneath(r) && (isOrWraps(err, told.err) || (told.text !== "" && text.includes(told.text)))) {
        return told.run.id;
      }
    }
    if (r?.hidden) return undefined;
    if (this.reported.length === MAX_REPORTS) this.reported.shift();
    this.reported.push({ err, text, run: r });
    return undefined;
  }

  /**
   * Adds a model call's cost to the sum of its currency.
   * @param {{amount: number, currency: string} | undefined} cost
   */
  addCost(cost) {
    if (!cost) return;
    const sum = this.costs.find((c) => c.currency === cost.currency);
    if (sum) sum.amount += cost.amount;
    else this.costs.push({ ...cost });
  }

  /** @param {import("./runs.js").Usage | undefined} u */
  addUsage(u) {
    if (!u) return;
    const sum = (this.usage ??= {});
    for (const name of COUNTS) {
      const n = u[name];
      if (n) sum[name] = (sum[name] ?? 0) + n;
    }
  }
}
