/**
 * A message of a stream of Server-Sent Events.
 * @typedef {object} Message
 * @property {string} [id]  of this message itself
 * @property {string} event
 * @property {string} data
 */
export type Message = {
    /**
     * of this message itself
     */
    id?: string;
    event: string;
    data: string;
};
/** Parses Server-Sent Events as they arrive. */
export declare class SSEParser {
    /** @type {string | undefined} */
    id: string | undefined;
    event: string | undefined;
    /** @type {string[]} */
    data: string[];
    /** @type {number | undefined} the last retry field, in milliseconds */
    retry: number | undefined;
    rest: string;
    first: boolean;
    constructor();
    reset(): void;
    /**
     * The messages that this piece of text completes.
     * @param {string} text
     * @returns {Message[]}
     */
    push(text: string): Message[];
    /**
     * @param {string} line
     * @returns {Message | undefined}
     */
    line(line: string): Message | undefined;
    message(): {
        id: string | undefined;
        event: string;
        data: string;
    } | undefined;
}
