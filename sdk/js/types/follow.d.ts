import { Server } from "./http.js";
export type JobEvent = {
    /**
     * given by the store, strictly increasing within the job
     */
    id: string;
    job_id: string;
    event_type: string;
    timestamp: string;
    data: any;
    /**
     * follow after this to go on behind the event
     */
    cursor: string;
    control?: undefined;
};
export type Control = {
    control: "gap" | "rewound" | "deleted" | "stalled" | "resumed" | "disconnected" | "connected";
    event_type?: undefined;
    /**
     * what the server says with it
     */
    data: any;
    /**
     * of disconnected
     */
    error?: unknown;
};
export type Follow = {
    /**
     * go on after this cursor or event ID; from the start if left out
     */
    after?: string;
    /**
     * events of these types only
     */
    types?: string[];
    /**
     * wait so long for a job that does not exist yet, instead of failing; 0
     */
    waitSeconds?: number;
    /**
     * ends the iteration
     */
    signal?: AbortSignal;
    /**
     * a connection on which nothing comes for so long is given up; 45,000
     */
    quietMs?: number;
};
export type FollowOptions = import("./http.js").ServerOptions & Follow;
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
export declare function follow(server: string | URL | Server, jobId: string, options?: FollowOptions): AsyncGenerator<JobEvent | Control, void, undefined>;
/**
 * Asks a job to stop. It stops when its worker does.
 * @param {string | URL | Server} server
 * @param {string} jobId
 * @param {import("./http.js").ServerOptions & {reason?: string, by?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the job
 */
export declare function cancel(server: string | URL | Server, jobId: string, options?: import("./http.js").ServerOptions & {
    reason?: string;
    by?: string;
    signal?: AbortSignal;
}): Promise<any>;
