import { textOf } from "./encode.js";
/** The reason with which a handler's signal ends when the job is asked to stop. */
export declare class CancelRequestedError extends Error {
    by: string;
    reason: string;
    /**
     * @param {string} [by] who asked
     * @param {string} [reason] why
     */
    constructor(by?: string, reason?: string);
}
/** The server has answered that it does not do what it was asked for. */
export declare class ServerError extends Error {
    status: number;
    /** The type of the problem, such as "/problems/closed". */
    type: string;
    problem: any;
    /** How long the server asks to wait before the next try. */
    retryAfterMs: number;
    /**
     * @param {number} status
     * @param {any} problem  the body, if it was a problem+json
     * @param {string} [fallback]
     */
    constructor(status: number, problem: any, fallback?: string);
}
/**
 * Whether err is the told error or wraps it.
 * @param {unknown} err
 * @param {unknown} told
 */
export declare function isOrWraps(err: unknown, told: unknown): boolean;
/**
 * Whether the error says that work was broken off.
 * @param {unknown} err
 */
export declare function isAborted(err: unknown): boolean;
/**
 * The request to stop, if the error is one or wraps one.
 * @param {unknown} err
 * @returns {CancelRequestedError | undefined}
 */
export declare function cancelRequest(err: unknown): CancelRequestedError | undefined;
/**
 * What sort of error it is: aborted, timeout, what it calls itself, or "".
 * @param {unknown} err
 */
export declare function errorKind(err: unknown): string;
export { textOf };
