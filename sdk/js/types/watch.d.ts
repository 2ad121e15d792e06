/** The event types that have a meaning. */
export declare const EVENT_TYPES: readonly string[];
export type WatchOptions = {
    onEvent: (event: import("./follow.js").JobEvent) => void;
    /**
     * what is said about the stream itself
     */
    onControl?: (control: import("./follow.js").Control) => void;
    /**
     * the job has ended and everything came
     */
    onEnd?: (end: {
        status?: string;
        last_id?: string;
    }) => void;
    /**
     * a connection was lost (it is tried again), or refused
     */
    onError?: (error: unknown) => void;
    /**
     * goes into the address, since EventSource can't send headers
     */
    token?: string;
    /**
     * go on after this cursor or event ID
     */
    after?: string;
    /**
     * types of your own besides the known ones
     */
    types?: string[];
    /**
     * used instead of the global one
     */
    EventSource?: any;
};
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
export declare function watch(url: string, jobId: string, options: WatchOptions): {
    close: () => void;
};
