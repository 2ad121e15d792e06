import { Data } from "./data.js";
import { Outbox } from "./outbox.js";
import { ModelRun, Run, ToolRun } from "./runs.js";
import { Tree } from "./tree.js";
export type Encoded = import("./encode.js").Encoded;
export type RunInfo = import("./runs.js").RunInfo;
export type Publisher = {
    open: (jobId: string, options?: import("./publisher.js").JobOptions) => import("./outbox.js").Outbox;
};
export type HandlerOptions = {
    /**
     * of the job in listings
     */
    name?: string;
    labels?: Record<string, string>;
    metadata?: Record<string, unknown>;
    /**
     * end the job when its root run has ended; false, but in callback handlers of frameworks
     */
    automatic?: boolean;
    /**
     * how long an automatic end waits for another root run; 0
     */
    graceMs?: number;
    /**
     * how long it waits for runs and streams that are open when the root has ended; 10,000
     */
    streamWaitMs?: number;
    /**
     * from which an input, output, content or other value is cut; 65,536; 0: never
     */
    maxFieldBytes?: number;
    /**
     * sees every value before it is cut and gives what to publish in its place
     */
    redact?: (eventType: string, field: string, value: any) => unknown;
    /**
     * when it ends, the handler's own does
     */
    signal?: AbortSignal;
    /**
     * the writer's name within the job; "callback"
     */
    producerId?: string;
    /**
     * of the writer: a higher one takes the job over, as the attempt of a task queue; the Unix time in milliseconds
     */
    epoch?: number;
    /**
     * takes warnings; that of the publisher
     */
    logger?: import("./outbox.js").Logger;
    /**
     * for tests
     */
    clock?: Clock;
};
export type Clock = {
    now: () => number;
    setTimeout: (fn: () => void, ms: number) => any;
    clearTimeout: (timer: any) => void;
};
/** What an event tells of an error. */
declare class Failure {
    text: import("./encode.js").Encoded;
    cause: string | undefined;
    kind: string;
    /**
     * @param {Encoded} text
     * @param {string | undefined} cause  the run that told of the error first
     * @param {string} kind
     */
    constructor(text: Encoded, cause: string | undefined, kind: string);
    /**
     * @param {Data} d
     * @param {string} kindName
     */
    addTo(d: Data, kindName: string): Data;
}
/**
 * Tells the story of one job while it runs: a callback handler without a
 * framework. Its methods take a snapshot of their input and put an event into a
 * queue, from which it is appended in order and once. They never throw or wait.
 */
export declare class Handler {
    jobId: string;
    options: {
        automatic: boolean;
        graceMs: number;
        streamWaitMs: number;
        maxFieldBytes: number;
        redact: ((eventType: string, field: string, value: any) => unknown) | undefined;
    };
    clock: Clock;
    began: number;
    listens: boolean;
    warned: boolean;
    tree: Tree;
    /** @type {any} */
    timer: any;
    outbox: Outbox;
    log: import("./outbox.js").Logger;
    /**
     * @param {string} jobId
     * @param {Publisher | null | undefined} publisher  none: the job runs unobserved
     * @param {HandlerOptions} [options]
     */
    constructor(jobId: string, publisher: Publisher | null | undefined, options?: HandlerOptions);
    /**
     * Ends when the job is asked to stop, when another handler takes it over or has
     * ended it, and at close. Whoever asks for it hears of a request to stop at once,
     * over a connection of its own while runs are open (without `automatic`: until the
     * job is ended or closed); else a heartbeat says so.
     */
    get signal(): AbortSignal;
    /** Listens for a request to stop while somebody wants to know of it. */
    watch(): void;
    now(): number;
    /** @param {AbortSignal | undefined} signal */
    follow(signal: AbortSignal | undefined): void;
    /** @param {HandlerOptions} options */
    begun(options: HandlerOptions): void;
    /**
     * Calls what must not reach the agent if it throws.
     * @template T
     * @param {string} method
     * @param {() => T} fn
     * @returns {T | undefined}
     */
    guard<T>(method: string, fn: () => T): T | undefined;
    /**
     * Starts a phase of the job. With fn, it ends when fn does, with its error if it
     * throws.
     * @overload
     * @param {string | RunInfo} info  the name, or all about it
     * @returns {Run}
     */
    /**
     * @template T
     * @overload
     * @param {string | RunInfo} info
     * @param {(run: Run) => T | Promise<T>} fn
     * @returns {Promise<T>}
     */
    /**
     * @param {string | RunInfo} info
     * @param {(run: Run) => any} [fn]
     * @returns {any}
     */
    phase(info: string | RunInfo): Run;
    /**
     * Starts a phase of the job. With fn, it ends when fn does, with its error if it
     * throws.
     * @overload
     * @param {string | RunInfo} info  the name, or all about it
     * @returns {Run}
     */
    /**
     * @template T
     * @overload
     * @param {string | RunInfo} info
     * @param {(run: Run) => T | Promise<T>} fn
     * @returns {Promise<T>}
     */
    /**
     * @param {string | RunInfo} info
     * @param {(run: Run) => any} [fn]
     * @returns {any}
     */
    phase<T>(info: string | RunInfo, fn: (run: Run) => T | Promise<T>): Promise<T>;
    /**
     * Starts a call of a model. End it.
     * @param {string | import("./runs.js").ModelInfo} info  the model, or all about the call
     */
    model(info: string | import("./runs.js").ModelInfo): ModelRun;
    /**
     * Publishes that a tool is called. End the call that it returns.
     * @param {string | import("./runs.js").ToolInfo} info  the tool, or all about the call
     */
    toolStart(info: string | import("./runs.js").ToolInfo): ToolRun;
    /**
     * Calls fn, a tool, and publishes the call and its result.
     * @template T
     * @param {string | import("./runs.js").ToolInfo} info
     * @param {(tool: ToolRun) => T | Promise<T>} fn
     * @returns {Promise<T>}
     */
    tool<T>(info: string | import("./runs.js").ToolInfo, fn: (tool: ToolRun) => T | Promise<T>): Promise<T>;
    /**
     * @param {Run} run
     * @param {boolean} resumed
     */
    enter(run: Run, resumed: boolean): "resumed" | "started";
    /** Says, once, that something begins after the end. */
    warnOfReuse(): void;
    /** Takes the ended run out of the tree, and ends the job if that is due.
     * @param {Run} run */
    settle(run: Run): void;
    /**
     * Publishes anything that the agent wants to say.
     * @param {string} name
     * @param {unknown} [value]
     * @param {Run | ModelRun | ToolRun} [run]
     */
    custom(name: string, value?: unknown, run?: Run | ModelRun | ToolRun): void;
    /** Publishes a snapshot of the state of the job, or of one run of it.
     * @param {unknown} snapshot
     * @param {Run | ModelRun | ToolRun} [run] */
    state(snapshot: unknown, run?: Run | ModelRun | ToolRun): void;
    /** Publishes a change of the state: a JSON Patch (RFC 6902).
     * @param {unknown} patch
     * @param {Run | ModelRun | ToolRun} [run] */
    statePatch(patch: unknown, run?: Run | ModelRun | ToolRun): void;
    /**
     * Publishes an error that does not end the job.
     * @param {unknown} err
     * @param {"job" | "chain" | "tool" | "llm"} [scope]
     * @param {Run | ModelRun | ToolRun} [run]
     */
    error(err: unknown, scope?: "job" | "chain" | "tool" | "llm", run?: Run | ModelRun | ToolRun): void;
    /** Says that the whole job waits for input; value is what it asks for.
     * @param {unknown} [value] */
    interrupt(value?: unknown): void;
    /** Says that the job goes on after an interrupt; value is the answer.
     * @param {unknown} [value] */
    resume(value?: unknown): void;
    /**
     * Publishes an event as it is. A terminal one ends the job.
     * @param {{event_type: string, data?: unknown, timestamp?: string | Date}} event
     */
    emit(event: {
        event_type: string;
        data?: unknown;
        timestamp?: string | Date;
    }): void;
    /**
     * @param {string} type
     * @param {Data} d
     */
    emitData(type: string, d: Data): void;
    /**
     * @param {unknown} err
     * @param {string} scope
     * @param {Run | undefined} run
     * @param {string} messageId
     */
    emitError(err: unknown, scope: string, run: Run | undefined, messageId: string): void;
    /**
     * A snapshot of the value for the field of an event: redacted, and cut if it is
     * too large. Undefined is left out.
     * @param {string} eventType
     * @param {string} name
     * @param {unknown} value
     * @returns {Encoded}
     */
    field(eventType: string, name: string, value: unknown): Encoded;
    /**
     * A list whose elements are JSON already.
     * @param {string} eventType
     * @param {string} name
     * @param {string[]} elements
     * @returns {Encoded}
     */
    listField(eventType: string, name: string, elements: string[]): Encoded;
    /**
     * A value that is never cut.
     * @param {string} eventType
     * @param {string} name
     * @param {unknown} value
     */
    whole(eventType: string, name: string, value: unknown): import("./encode.js").Encoded;
    /**
     * What the hook makes of the value. One that it could not look at is not
     * published.
     * @param {string} eventType
     * @param {string} name
     * @param {unknown} value
     */
    redacted(eventType: string, name: string, value: unknown): {} | null;
    /**
     * The data of a delta.
     * @param {ModelRun} m
     * @param {string} channel
     * @param {string} text
     */
    deltaData(m: ModelRun, channel: string, text: string): string;
    /**
     * How the event that ends run tells of err: by its text the first time,
     * afterwards by the run that told of it.
     * @param {string} eventType
     * @param {unknown} err
     * @param {Run | undefined} run
     */
    explain(eventType: string, err: unknown, run: Run | undefined): Failure;
    /**
     * Ends the job: done with output if there is no error, cancelled if the error
     * says that work was broken off and the job was asked to stop, and a fatal error
     * otherwise. What comes afterwards is dropped and counted.
     * @param {unknown} [output]
     * @param {unknown} [err]
     */
    end(output?: unknown, err?: unknown): void;
    /**
     * Queues the terminal event, once.
     * @param {Encoded} output
     * @param {unknown} err
     */
    finish(output: Encoded, err: unknown): void;
    /**
     * @param {string} type
     * @param {Data} d
     */
    terminal(type: string, d: Data): void;
    /** Ends the job if its root has, or sets a timer for when what has to be waited for is over. */
    considerEnd(): void;
    stopTimer(): void;
    /** Ends the job as its last root ended. */
    automaticEnd(): void;
    /**
     * Calls fn as the job: ends it with what fn returns or throws, and waits until
     * everything is stored, for at most 10 s.
     * @template T
     * @param {(job: Handler) => T | Promise<T>} fn
     * @returns {Promise<T>}
     */
    run<T>(fn: (job: Handler) => T | Promise<T>): Promise<T>;
    /**
     * Waits until everything that was published before is stored; false: it is not
     * in that time, or the server refuses it.
     * @param {{timeoutMs?: number}} [options]  30,000
     */
    flush({ timeoutMs }?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /**
     * Sends what is queued and releases the handler. What can't be sent in that time
     * is dropped; false says so. It does not end the job, unless an automatic end only
     * waits for streams or another root: see end.
     * @param {{timeoutMs?: number}} [options]  10,000
     */
    close({ timeoutMs }?: {
        timeoutMs?: number;
    }): Promise<boolean>;
    /** The handler's counters. */
    stats(): import("./outbox.js").Stats;
}
/**
 * Begins to tell of a job: publishes that it has started, and sends heartbeats
 * until it ends or the handler is closed. Starting a job again, after an
 * interrupt or a crash, goes on with its log and takes it over from an earlier
 * handler.
 * @param {string} jobId
 * @param {Publisher | null | undefined} publisher  none: the job runs unobserved
 * @param {HandlerOptions} [options]
 */
export declare function start(jobId: string, publisher: Publisher | null | undefined, options?: HandlerOptions): Handler;
export {};
