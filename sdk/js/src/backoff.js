/** Pauses between tries. */
export class Backoff {
  /**
   * @param {number} first  in milliseconds
   * @param {number} longest
   */
  constructor(first = 50, longest = 5000) {
    this.first = first;
    this.next = first;
    this.longest = longest;
  }

  /**
   * How long to wait before the next try: doubling, each shortened by up to half
   * at random so that many don't come back at once.
   */
  pause() {
    const d = this.next;
    this.next = Math.min(2 * d, this.longest);
    return d / 2 + (Math.random() * d) / 2;
  }

  reset() {
    this.next = this.first;
  }
}

/**
 * Waits so many milliseconds, or until the signal ends.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @param {boolean} [unref]  lets the process end meanwhile
 * @returns {Promise<void>}
 */
export function sleep(ms, signal, unref = false) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
    if (unref) unrefTimer(timer);
    signal?.addEventListener("abort", done, { once: true });
  });
}

/**
 * A timer of Node that does not keep the process alive; browsers have none.
 * @param {any} timer
 */
export function unrefTimer(timer) {
  timer?.unref?.();
  return timer;
}
