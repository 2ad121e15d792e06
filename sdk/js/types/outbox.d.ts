import { ServerError, CancelRequestedError } from "./errors.js";
import { Queue } from "./queue.js";
export type Transport = {
    /**
     *   appends a JSON array of events, whole or not at all
     */
    append: (jobId: string, body: string, producer: Producer, signal: AbortSignal) => Promise<{
        duplicate?: boolean;
    }>;
    heartbeat: (jobId: string, ttlMs: number, producer: Producer, signal: AbortSignal) => Promise<{
        cancel_requested?: boolean;
    }>;
    /**
     *   waits until the job is asked to stop; undefined: it has ended, or the signal did
     */
    awaitCancel: (jobId: string, signal: AbortSignal) => Promise<CancelRequestedError | undefined>;
};
export type Producer = {
    id: string;
    epoch: number;
    seq: number;
};
export type OutboxOptions = {
    producerId: string;
    /**
     * 0: the Unix time in milliseconds
     */
    epoch: number;
    queueBytes: number;
    coalesceMs: number;
    heartbeatMs: number;
    leaseMs: number;
    tryTimeoutMs: number;
    lingerMs: number;
    logger: Logger;
};
export type Logger = {
    warn: (message: string) => void;
    error: (message: string) => void;
};
/** The events of one job on their way: in order, each once. */
export declare class Outbox {
    transport: Transport;
    jobId: string;
    options: OutboxOptions;
    log: Logger;
    queue: Queue;
    ownEpoch: boolean;
    producer: {
        id: string;
        epoch: number;
        seq: number;
    };
    fresh: boolean;
    urgent: number;
    abort: AbortController;
    /** @type {AbortController | undefined} */
    watching: AbortController | undefined;
    wantsWatch: boolean;
    over: boolean;
    wake: () => void;
    sent: number;
    retried: number;
    /** @type {any} */
    beating: any;
    /** Ends when the job is asked to stop, or another writer has taken it over. */
    stop: AbortController;
    /** Why it was asked to stop.
     * @type {CancelRequestedError | undefined} */
    asked: CancelRequestedError | undefined;
    /** @type {Promise<void>} */
    finished: Promise<void>;
    stored: boolean;
    /** @type {(() => void)[]} */
    waiting: (() => void)[];
    /**
     * @param {Transport} transport
     * @param {string} jobId
     * @param {OutboxOptions} options
     */
    constructor(transport: Transport, jobId: string, options: OutboxOptions);
    /**
     * @param {string} type
     * @param {string} data
     * @param {boolean} [terminal]
     * @param {number} [at]
     */
    put(type: string, data: string, terminal?: boolean, at?: number): void;
    /**
     * @param {import("./runs.js").ModelRun} stream
     * @param {string} channel
     * @param {string} text
     */
    putDelta(stream: import("./runs.js").ModelRun, channel: string, text: string): void;
    /** Counts an event that came after the end. */
    stray(): void;
    /** Nothing more will be put: heartbeats and the watch for a request to stop end. */
    finish(): void;
    /**
     * Nothing of this writer will be taken any more.
     * @param {Error} reason
     */
    refuse(reason: Error): void;
    /**
     * The job can't be told of: what is put is counted and goes nowhere. The agent
     * is not to notice, so the signal does not end.
     * @param {string} reason
     */
    unobserved(reason: string): void;
    run(): Promise<void>;
    dueIn(): number;
    /** @param {number} ms */
    woken(ms: number): Promise<void>;
    progress(): void;
    /**
     * Appends the batch and says how many of its events are lost.
     * @param {string[]} events
     */
    deliver(events: string[]): Promise<number>;
    /** @param {string[]} events */
    try(events: string[]): Promise<{
        duplicate?: boolean;
    }>;
    /** @param {number} events */
    count(events: number): void;
    /**
     * An earlier start used the same epoch, as a task that its queue delivers again
     * without counting: go on behind its batches.
     */
    goBehind(): void;
    takeOver(): void;
    /**
     * The store has lost its memory of this producer. A higher epoch also fences
     * off requests that may still be under way; one that was given belongs to its
     * giver, so there the store's count is taken up.
     * @param {ServerError} err
     */
    renumber(err: ServerError): void;
    /**
     * Appends the events of a batch that was refused as a whole one by one, and
     * drops those that are refused again.
     * @param {string[]} events
     */
    deliverSingly(events: string[]): Promise<number>;
    /**
     * @param {string} event
     * @returns {Promise<boolean>} false: it is lost
     */
    deliverOne(event: string): Promise<boolean>;
    /** Begins to send signs of life. */
    beat(): void;
    /**
     * Begins or ends to listen whether somebody asks the job to stop.
     * @param {boolean} on
     */
    watch(on: boolean): void;
    /** @param {AbortSignal} signal */
    listen(signal: AbortSignal): Promise<void>;
    /**
     * Waits until everything that was put before is stored; false: it is not.
     * @param {number} timeoutMs
     */
    flush(timeoutMs: number): Promise<boolean>;
    /** @param {number} ms */
    nextProgress(ms: number): Promise<void>;
    /**
     * Sends what is queued, for at most so long; what can't be sent by then is
     * dropped. False: something was.
     * @param {number} timeoutMs
     */
    close(timeoutMs: number): Promise<boolean>;
    /** @returns {Stats} */
    stats(): Stats;
}
export type Stats = {
    /**
     * events that are not acknowledged yet
     */
    queued: number;
    queuedBytes: number;
    /**
     * events acknowledged
     */
    sent: number;
    /**
     * events lost: the queue was full, the server refused them, or it was closed before
     */
    dropped: number;
    /**
     * tries of a batch after the first
     */
    retried: number;
    /**
     * events that came after the end
     */
    strays: number;
};
