/**
 * Values of the agent as JSON. Nothing here throws: what is no JSON becomes
 * something readable.
 */
/** JSON that is published as it is, digit for digit. */
export declare class RawJSON {
    text: string;
    /** @param {string} text valid JSON */
    constructor(text: string);
}
export type Encoded = {
    /**
     * empty: leave it out
     */
    json: string;
    /**
     * bytes before it was cut; 0: it was not cut
     */
    full: number;
};
/**
 * A value ready to be published.
 * @typedef {object} Encoded
 * @property {string} json  empty: leave it out
 * @property {number} full  bytes before it was cut; 0: it was not cut
 */
/** @type {Encoded} */
export declare const nothing: Encoded;
/**
 * A snapshot of the value, cut to about limit bytes. A string stays one; any
 * other value that is cut becomes a string with the beginning of its JSON. Of a
 * very large value the size that is told may be less than it has.
 * @param {unknown} value
 * @param {number} limit  0 or less: no limit
 * @returns {Encoded}
 */
export declare function encode(value: unknown, limit: number): Encoded;
/**
 * What the error says, also if it is none or does not like to be looked at.
 * @param {unknown} err
 * @returns {string}
 */
export declare function textOf(err: unknown): string;
