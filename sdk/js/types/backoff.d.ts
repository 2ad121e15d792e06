/** Pauses between tries. */
export declare class Backoff {
    first: number;
    next: number;
    longest: number;
    /**
     * @param {number} first  in milliseconds
     * @param {number} longest
     */
    constructor(first?: number, longest?: number);
    /**
     * How long to wait before the next try: doubling, each shortened by up to half
     * at random so that many don't come back at once.
     */
    pause(): number;
    reset(): void;
}
/**
 * Waits so many milliseconds, or until the signal ends.
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @param {boolean} [unref]  lets the process end meanwhile
 * @returns {Promise<void>}
 */
export declare function sleep(ms: number, signal?: AbortSignal, unref?: boolean): Promise<void>;
/**
 * A timer of Node that does not keep the process alive; browsers have none.
 * @param {any} timer
 */
export declare function unrefTimer(timer: any): any;
