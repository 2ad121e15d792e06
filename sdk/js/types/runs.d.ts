import { Data } from "./data.js";
export type Handler = import("./handler.js").Handler;
export type Encoded = import("./encode.js").Encoded;
export type RunInfo = {
    /**
     * unique in the job; a new one if left out
     */
    id?: string;
    name?: string;
    /**
     * agent, graph, node, chain, tool, llm, retriever, embedding, guardrail, evaluator or another word
     */
    kind?: string;
    /**
     * path of nested graphs, outermost first
     */
    ns?: string[];
    /**
     * of a graph
     */
    step?: number;
    /**
     * of a retried run, from 1
     */
    attempt?: number;
    /**
     * published as input
     */
    input?: unknown;
    /**
     * publishes nothing; runs beneath appear under the nearest one that is not hidden
     */
    hidden?: boolean;
    /**
     * the run around it
     */
    parent?: Run | ModelRun | ToolRun;
    /**
     * begins as resumed: it goes on where an interrupt was
     */
    resumed?: boolean;
    /**
     * with resumed: the answer
     */
    value?: unknown;
    /**
     * never the root of the job, whose end can be the end of the job
     */
    leaf?: boolean;
};
export type ModelInfo = RunInfo & {
    model?: string;
    messageId?: string;
};
export type ToolInfo = RunInfo & {
    tool?: string;
    callId?: string;
};
export type Usage = {
    /**
     * read from and written to a cache included
     */
    input_tokens?: number;
    /**
     * reasoning included
     */
    output_tokens?: number;
    cached_input_tokens?: number;
    cache_write_tokens?: number;
    reasoning_tokens?: number;
};
export type Channel = "text" | "reasoning" | "refusal";
/** @typedef {import("./handler.js").Handler} Handler */
/** @typedef {import("./encode.js").Encoded} Encoded */
/**
 * Describes a run. Every member may be left out.
 * @typedef {object} RunInfo
 * @property {string} [id]  unique in the job; a new one if left out
 * @property {string} [name]
 * @property {string} [kind]  agent, graph, node, chain, tool, llm, retriever, embedding, guardrail, evaluator or another word
 * @property {string[]} [ns]  path of nested graphs, outermost first
 * @property {number} [step]  of a graph
 * @property {number} [attempt]  of a retried run, from 1
 * @property {unknown} [input]  published as input
 * @property {boolean} [hidden]  publishes nothing; runs beneath appear under the nearest one that is not hidden
 * @property {Run | ModelRun | ToolRun} [parent]  the run around it
 * @property {boolean} [resumed]  begins as resumed: it goes on where an interrupt was
 * @property {unknown} [value]  with resumed: the answer
 * @property {boolean} [leaf]  never the root of the job, whose end can be the end of the job
 */
/**
 * @typedef {RunInfo & {model?: string, messageId?: string}} ModelInfo
 * @typedef {RunInfo & {tool?: string, callId?: string}} ToolInfo
 */
/**
 * Tokens as OpenTelemetry counts them.
 * @typedef {object} Usage
 * @property {number} [input_tokens]  read from and written to a cache included
 * @property {number} [output_tokens]  reasoning included
 * @property {number} [cached_input_tokens]
 * @property {number} [cache_write_tokens]
 * @property {number} [reasoning_tokens]
 */
/** @typedef {"text" | "reasoning" | "refusal"} Channel */
/**
 * One chain, graph, node or phase in the tree of a job, from its start to its
 * end. Its methods never throw or block.
 */
export declare class Run {
    h: import("./handler.js").Handler;
    id: string;
    name: string;
    idJSON: string;
    nameJSON: string;
    kind: string;
    hidden: boolean;
    parent: Run | undefined;
    isRoot: boolean;
    began: number;
    tree: string;
    ended: boolean;
    interrupted: boolean;
    resumed: boolean;
    waiting: number;
    /** @type {Encoded} */
    told: Encoded;
    /**
     * @param {Handler} h
     * @param {RunInfo} info
     * @param {string} kind  if info has none
     * @param {boolean} leaf  a model or tool call, never the root of a job
     * @param {string} [name]
     */
    constructor(h: Handler, info: RunInfo, kind: string, leaf: boolean, name?: string);
    /** The run itself, or the nearest one around it that is not hidden.
     * @returns {Run | undefined} */
    get visible(): Run | undefined;
    /**
     * Whether it lies below a, or a is undefined: the job itself.
     * @param {Run | undefined} a
     */
    beneath(a: Run | undefined): boolean;
    /** Begins the data of a phase_update of the run.
     * @param {string} status */
    data(status: string): Data;
    /**
     * Starts a phase beneath this one. With fn, it ends when fn does, with its
     * error if it throws.
     * @template T
     * @overload
     * @param {string | RunInfo} info
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
    phase<T>(info: string | RunInfo): Run;
    /**
     * Starts a phase beneath this one. With fn, it ends when fn does, with its
     * error if it throws.
     * @template T
     * @overload
     * @param {string | RunInfo} info
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
    /** Starts a call of a model beneath this run. End it.
     * @param {string | ModelInfo} info  the model, or all about the call */
    model(info: string | ModelInfo): ModelRun;
    /**
     * Calls fn, a tool, and publishes the call and its result.
     * @template T
     * @param {string | ToolInfo} info  the tool, or all about the call
     * @param {() => T | Promise<T>} fn
     * @returns {Promise<T>}
     */
    tool<T>(info: string | ToolInfo, fn: () => T | Promise<T>): Promise<T>;
    /** Publishes that a tool is called. End the call that it returns.
     * @param {string | ToolInfo} info */
    toolStart(info: string | ToolInfo): ToolRun;
    /**
     * Reports how far the run is, from 0 to 1, and what it does at the moment.
     * @param {number | undefined} progress
     * @param {string} [message]
     */
    progress(progress: number | undefined, message?: string): void;
    /**
     * Says that the run waits for input; value is what it asks for. When it goes
     * on in this process, call resume; when it ends here and another one resumes
     * it, end it without an error.
     * @param {unknown} [value]
     */
    interrupt(value?: unknown): void;
    /**
     * Says that the run goes on after an interrupt; value is the answer.
     * @param {unknown} [value]
     */
    resume(value?: unknown): void;
    /**
     * Sets what the run's end publishes as output. The output of the root is that
     * of an automatic end.
     * @param {unknown} output
     */
    output(output: unknown): void;
    /** Publishes anything that the run wants to say.
     * @param {string} name
     * @param {unknown} [value] */
    custom(name: string, value?: unknown): void;
    /** Publishes a snapshot of the run's state.
     * @param {unknown} snapshot */
    state(snapshot: unknown): void;
    /** Publishes a change of the run's state: a JSON Patch (RFC 6902).
     * @param {unknown} patch */
    statePatch(patch: unknown): void;
    /**
     * Ends the run: completed, or failed with err. The second end does nothing.
     * @param {unknown} [err]
     */
    end(err?: unknown): void;
    /**
     * @param {string} status
     * @param {unknown} err
     */
    ending(status: string, err: unknown): Data;
}
/** One call of a language model. Its methods never throw or block. */
export declare class ModelRun {
    h: import("./handler.js").Handler;
    run: Run;
    model: string;
    messageId: string;
    messageJSON: string;
    /** The members that end the data of a delta. */
    place: string;
    /** @type {Usage | undefined} */
    used: Usage | undefined;
    /** @type {{amount: number, currency: string} | undefined} */
    spent: {
        amount: number;
        currency: string;
    } | undefined;
    /** @type {unknown} */
    finish: unknown;
    text: string;
    textBytes: number;
    firstToken: number;
    /** @type {import("./queue.js").DeltaItem | undefined} */
    tail: import("./queue.js").DeltaItem | undefined;
    /** @type {string[]} */
    calls: string[];
    half: string;
    /**
     * @param {Handler} h
     * @param {ModelInfo} info
     */
    constructor(h: Handler, info: ModelInfo);
    get id(): string;
    /** @param {string} status */
    data(status: string): Data;
    /**
     * Publishes the next piece of a stream. Pieces that come close together are
     * joined into one event. Empty ones are left out.
     * @param {string} text
     * @param {Channel} [channel]
     */
    delta(text: string, channel?: Channel): void;
    /**
     * The text with the half of a character that the piece before ended with, and
     * without the one that it ends with itself.
     * @param {string} text
     */
    joined(text: string): string;
    /** @param {string} text */
    gather(text: string): void;
    /** Sets the tokens that the call took so far. The last word counts.
     * @param {Usage} usage */
    usage(usage: Usage): void;
    /**
     * Sets what the call cost so far, in a currency such as "USD". The last word
     * counts.
     * @param {number} amount
     * @param {string} currency
     */
    cost(amount: number, currency: string): void;
    /** Sets why the model stopped, as the provider says it.
     * @param {string} reason */
    finishReason(reason: string): void;
    /**
     * Adds a tool that the model asks for, with the arguments that it gave, to
     * what the end publishes. It calls nothing.
     * @param {string} callId
     * @param {string} tool
     * @param {unknown} [input]
     */
    toolCall(callId: string, tool: string, input?: unknown): void;
    /**
     * Ends the call with the whole text of the answer; none means what the text
     * deltas added up to. With an error it publishes an error of scope llm
     * instead. The second end does nothing.
     * @param {string} [text]
     * @param {unknown} [err]
     */
    end(text?: string, err?: unknown): void;
    /** @param {string} text */
    completed(text: string): Data;
    /**
     * @param {string} text
     * @returns {Encoded}
     */
    content(text: string): Encoded;
}
/** One call of a tool. Its methods never throw or block. */
export declare class ToolRun {
    h: import("./handler.js").Handler;
    tool: string;
    run: Run;
    callId: string;
    /**
     * @param {Handler} h
     * @param {ToolInfo} info
     */
    constructor(h: Handler, info: ToolInfo);
    get id(): string;
    /** Begins the data of a tool event. */
    data(): Data;
    /**
     * Publishes the result of the call: its output, or an error, which does not
     * fail the job. The second end does nothing.
     * @param {unknown} [output]
     * @param {unknown} [err]
     */
    end(output?: unknown, err?: unknown): void;
    /**
     * @param {Encoded} value
     * @param {unknown} err
     */
    result(value: Encoded, err: unknown): Data;
}
/**
 * The error that was given: null, as callbacks of Node pass it, is none.
 * @param {unknown} err
 */
export declare function given(err: unknown): {} | undefined;
/**
 * @template {RunInfo} T
 * @param {string | T} info
 * @param {string} member  what a string stands for
 * @returns {T}
 */
export declare function named<T extends RunInfo>(info: string | T, member: string): T;
/**
 * @param {string} id
 * @param {Encoded} value
 */
export declare function interruptJSON(id: string, value: Encoded): string;
/** @param {Usage | undefined} u */
export declare function usageJSON(u: Usage | undefined): string;
/**
 * Digits to a billionth, so that sums of decimal fractions look like such.
 * @param {{amount: number, currency: string} | undefined} c
 */
export declare function costJSON(c: {
    amount: number;
    currency: string;
} | undefined): string;
/** @param {{amount: number, currency: string}[]} sums */
export declare function costsJSON(sums: {
    amount: number;
    currency: string;
}[]): string;
/** A new UUIDv7. */
export declare function newRunId(): string;
