/** Texts as JSON and their sizes in bytes of UTF-8. */
/**
 * The string without halves of surrogate pairs, which are no characters and
 * can't be written as UTF-8.
 * @param {string} s
 * @returns {string}
 */
export declare function wellFormed(s: string): string;
/**
 * The string as JSON.
 * @param {string} s
 */
export declare function quote(s: string): string;
/**
 * How many bytes of UTF-8 the string takes.
 * @param {string} s
 * @returns {number}
 */
export declare const byteLength: (s: string) => any;
/**
 * The first so many bytes of the string, without the half of a character.
 * @param {string} s
 * @param {number} limit
 */
export declare function cutText(s: string, limit: number): string;
