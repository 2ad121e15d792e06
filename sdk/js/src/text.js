/** Texts as JSON and their sizes in bytes of UTF-8. */

const lone = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/**
 * The string without halves of surrogate pairs, which are no characters and
 * can't be written as UTF-8.
 * @param {string} s
 * @returns {string}
 */
export function wellFormed(s) {
  const t = /** @type {any} */ (s);
  if (typeof t.isWellFormed === "function") return t.isWellFormed() ? s : t.toWellFormed();
  return s.replace(lone, "\uFFFD");
}

/** What stands in JSON as it is. */
const simple = /^[ !#-[\]-~]*$/;

/**
 * The string as JSON.
 * @param {string} s
 */
export function quote(s) {
  if (s.length < 100 && simple.test(s)) return `"${s}"`;
  return JSON.stringify(wellFormed(s));
}

const nodeBuffer = /** @type {any} */ (globalThis).Buffer;

/**
 * How many bytes of UTF-8 the string takes.
 * @param {string} s
 * @returns {number}
 */
export const byteLength =
  typeof nodeBuffer?.byteLength === "function" ? (/** @type {string} */ s) => nodeBuffer.byteLength(s, "utf8") : countBytes;

/** @param {string} s */
function countBytes(s) {
  let bytes = s.length;
  for (let i = 0; i < s.length; i++) {
    const c = s.charCodeAt(i);
    if (c < 0x80) continue;
    if (c < 0x800) bytes += 1;
    else if (c >= 0xd800 && c < 0xdc00 && i + 1 < s.length) {
      bytes += 2; // a pair: four bytes for two units
      i++;
    } else bytes += 2;
  }
  return bytes;
}

/**
 * The first so many bytes of the string, without the half of a character.
 * @param {string} s
 * @param {number} limit
 */
export function cutText(s, limit) {
  let bytes = 0;
  for (let i = 0; i < s.length; ) {
    const c = /** @type {number} */ (s.codePointAt(i));
    bytes += c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (bytes > limit) return s.slice(0, i);
    i += c < 0x10000 ? 1 : 2;
  }
  return s;
}
