import { CancelRequestedError } from "./errors.js";
import { Server } from "./http.js";
import { Outbox } from "./outbox.js";
export type PublisherSettings = {
    /**
     * memory, a job, for events that are not acknowledged yet; 8 MiB
     */
    queueBytes?: number;
    /**
     * how long the deltas of a stream are gathered into one event; the first after a pause goes at once; 25
     */
    coalesceMs?: number;
    /**
     * pause between signs of life; 10,000; negative: none are sent
     */
    heartbeatMs?: number;
    /**
     * how long one sign of life holds; 30,000
     */
    leaseMs?: number;
    /**
     * how long one try may take; 30,000
     */
    tryTimeoutMs?: number;
    /**
     * how long a process that has nothing else to do waits for a server that is away; 30,000
     */
    lingerMs?: number;
    /**
     * takes warnings; console
     */
    logger?: import("./outbox.js").Logger;
};
export type PublisherOptions = import("./http.js").ServerOptions & PublisherSettings;
export type JobOptions = {
    producerId?: string;
    epoch?: number;
    logger?: import("./outbox.js").Logger;
};
/**
 * Publishes the events of any number of jobs to a Tidings server: in the
 * background, in order, each once, also if the server is away for a while. Its
 * methods don't throw.
 */
export declare class HTTPPublisher {
    server: Server;
    settings: {
        queueBytes: number;
        coalesceMs: number;
        heartbeatMs: number;
        leaseMs: number;
        tryTimeoutMs: number;
        lingerMs: number;
        logger: Console | import("./outbox.js").Logger;
    };
    closed: boolean;
    past: {
        sent: number;
        dropped: number;
        retried: number;
        strays: number;
    };
    /** @type {Set<Outbox>} */
    outboxes: Set<Outbox>;
    /**
     * @param {string | URL} url  of the server
     * @param {PublisherOptions} [options]
     */
    constructor(url: string | URL, options?: PublisherOptions);
    /**
     * A queue for the events of a job; for handlers.
     * @param {string} jobId
     * @param {JobOptions} [options]
     */
    open(jobId: string, options?: JobOptions): Outbox;
    /** @param {Outbox} outbox */
    forget(outbox: Outbox): void;
    /**
     * Waits until everything that was published before is stored; false: it was not
     * in that time, or the server refused something.
     * @param {{timeoutMs?: number}} [options]  30,000
     */
    flush({ timeoutMs }?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /**
     * Sends what is queued and takes nothing more. What can't be sent in that time
     * is dropped; false says so. It does not end the jobs.
     * @param {{timeoutMs?: number}} [options]  10,000
     */
    close({ timeoutMs }?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /** The counters of all jobs of this publisher.
     * @returns {import("./outbox.js").Stats} */
    stats(): import("./outbox.js").Stats;
    /** @type {import("./outbox.js").Transport["append"]} */
    append(jobId: string, body: string, producer: import("./outbox.js").Producer, signal: AbortSignal): Promise<{
        duplicate?: boolean;
    }>;
    /** @type {import("./outbox.js").Transport["heartbeat"]} */
    heartbeat(jobId: string, ttlMs: number, producer: import("./outbox.js").Producer, signal: AbortSignal): Promise<{
        cancel_requested?: boolean;
    }>;
    /** @type {import("./outbox.js").Transport["awaitCancel"]} */
    awaitCancel(jobId: string, signal: AbortSignal): Promise<CancelRequestedError | undefined>;
    /**
     * @param {string} jobId
     * @param {AbortSignal} signal
     */
    job(jobId: string, signal: AbortSignal): Promise<any>;
}
