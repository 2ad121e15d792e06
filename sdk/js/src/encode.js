/**
 * Values of the agent as JSON. Nothing here throws: what is no JSON becomes
 * something readable.
 */

import { byteLength, cutText, quote, wellFormed } from "./text.js";

/** JSON that is published as it is, digit for digit. */
export class RawJSON {
  /** @param {string} text valid JSON */
  constructor(text) {
    this.text = text;
  }
}

const escapes = /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)/g;

/**
 * JSON without escaped halves of surrogate pairs.
 * @param {string} json
 */
function wellFormedJSON(json) {
  const text = wellFormed(json);
  if (!text.includes("\\u")) return text;
  return text.replace(escapes, (e) => (e.length === 6 ? "\uFFFD" : e));
}

/** How deep a value may be nested. */
const MAX_DEPTH = 100;
/** How many values are looked at once the limit is passed, to tell the size. */
const MAX_EXTRA = 20_000;
/** How many values of one input are looked at in any case. */
const MAX_VALUES = 2_000_000;

/**
 * A value ready to be published.
 * @typedef {object} Encoded
 * @property {string} json  empty: leave it out
 * @property {number} full  bytes before it was cut; 0: it was not cut
 */

/** @type {Encoded} */
export const nothing = Object.freeze({ json: "", full: 0 });

/**
 * A snapshot of the value, cut to about limit bytes. A string stays one; any
 * other value that is cut becomes a string with the beginning of its JSON. Of a
 * very large value the size that is told may be less than it has.
 * @param {unknown} value
 * @param {number} limit  0 or less: no limit
 * @returns {Encoded}
 */
export function encode(value, limit) {
  if (typeof value === "string") return encodeText(value, limit);
  const w = new Writer(limit > 0 ? limit : Infinity);
  w.value(value, 0);
  if (w.out.length * 3 <= limit || limit <= 0) return { json: w.out, full: 0 };
  if (w.cut === 0 && byteLength(w.out) <= limit) return { json: w.out, full: 0 };
  if (w.cut === 0 && w.out[0] === '"') return encodeText(JSON.parse(w.out), limit);
  return { json: quote(cutText(w.out, limit)), full: byteLength(w.out) + w.cut };
}

/**
 * @param {string} text
 * @param {number} limit
 * @returns {Encoded}
 */
function encodeText(text, limit) {
  if (limit <= 0 || text.length * 3 <= limit) return { json: quote(text), full: 0 };
  const full = byteLength(text);
  if (full <= limit) return { json: quote(text), full: 0 };
  return { json: quote(cutText(text.slice(0, limit + 1), limit)), full };
}

class Writer {
  /** @param {number} limit */
  constructor(limit) {
    this.limit = limit;
    this.out = "";
    this.cut = 0; // bytes behind the limit, counted and not kept
    this.values = 0;
    /** @type {object[]} */
    this.path = [];
  }

  /** @param {string} json */
  put(json) {
    if (this.out.length <= this.limit) this.out += json;
    else this.cut += byteLength(json);
  }

  /** Whether it is enough of this value. */
  full() {
    this.values++;
    return this.values > MAX_VALUES || (this.out.length > this.limit && this.values > MAX_EXTRA);
  }

  /**
   * @param {unknown} v
   * @param {number} depth
   */
  value(v, depth) {
    switch (typeof v) {
      case "string":
        return this.string(v);
      case "number":
        return this.put(Number.isFinite(v) ? String(v) : `"${v}"`);
      case "boolean":
      case "bigint":
        return this.put(String(v));
      case "undefined":
        return this.put("null");
      case "function":
        return this.put(quote(`[function ${nameOf(v)}]`));
      case "symbol":
        return this.put(quote(`[${String(v)}]`));
    }
    if (v === null) return this.put("null");
    if (this.full()) return this.put('"[…]"');
    this.object(/** @type {object} */ (v), depth);
  }

  /** @param {string} s */
  string(s) {
    const room = this.limit - this.out.length;
    if (room < 0 && s.length > 1000) this.cut += byteLength(s) + 2;
    else if (room < Infinity && s.length > room + 1_000_000) {
      this.put(quote(s.slice(0, room + 1)));
      this.cut += byteLength(s) - room;
    } else this.put(quote(s));
  }

  /**
   * An object; whatever it does while it is looked at stays here.
   * @param {object} v
   * @param {number} depth
   */
  object(v, depth) {
    if (this.path.includes(v)) return this.put('"[a cycle]"');
    if (depth > MAX_DEPTH) return this.put('"[nests too deep]"');
    const { length } = this.out;
    const { cut } = this;
    const path = this.path.length;
    this.path.push(v);
    try {
      if (isPlain(v) || !this.known(v, depth)) this.members(/** @type {any} */ (v), depth);
    } catch (err) {
      this.out = this.out.slice(0, length);
      this.cut = cut;
      this.put(quote(`[a ${className(v)} that can't be encoded: ${textOf(err)}]`));
    }
    this.path.length = path;
  }

  /**
   * Objects that have a form of their own.
   * @param {any} v
   * @param {number} depth
   * @returns {boolean} whether it was one
   */
  known(v, depth) {
    if (Array.isArray(v)) this.list(v, depth);
    else if (v instanceof RawJSON) this.put(wellFormedJSON(v.text));
    else if (v instanceof Error) this.put(quote(describe(v)));
    else if (v instanceof Map) this.map(v, depth);
    else if (v instanceof Set) this.list(v, depth);
    else if (v instanceof RegExp) this.put(quote(String(v)));
    else if (isBytes(v)) this.put(quote(bytesText(v)));
    else if (ArrayBuffer.isView(v)) this.list(/** @type {any} */ (v), depth);
    else if (isMessage(v)) this.members(messageForm(v), depth);
    else if (typeof v.toJSON === "function") this.value(v.toJSON(), depth + 1);
    else if (v instanceof Number || v instanceof String || v instanceof Boolean) this.value(v.valueOf(), depth);
    else return false;
    return true;
  }

  /**
   * @param {Iterable<unknown>} list
   * @param {number} depth
   */
  list(list, depth) {
    let separator = "[";
    for (const v of list) {
      this.put(separator);
      separator = ",";
      this.value(v, depth + 1);
      if (this.full()) {
        this.put(',"[…]"');
        break;
      }
    }
    this.put(separator === "[" ? "[]" : "]");
  }

  /**
   * @param {Map<unknown, unknown>} map
   * @param {number} depth
   */
  map(map, depth) {
    for (const key of map.keys()) {
      if (typeof key !== "string") return this.list(map, depth);
    }
    let separator = "{";
    for (const [key, v] of map) {
      separator = this.member(/** @type {string} */ (key), v, separator, depth);
      if (this.full()) break;
    }
    this.put(separator === "{" ? "{}" : "}");
  }

  /**
   * @param {Record<string, unknown>} v
   * @param {number} depth
   */
  members(v, depth) {
    const keys = Object.keys(v);
    if (keys.length === 0) {
      const name = className(v);
      return this.put(name === "Object" ? "{}" : quote(`[${name}]`));
    }
    let separator = "{";
    for (const key of keys) {
      separator = this.member(key, read(v, key), separator, depth);
      if (this.full()) break;
    }
    this.put(separator === "{" ? "{}" : "}");
  }

  /**
   * @param {string} key
   * @param {unknown} v
   * @param {string} separator  before it
   * @param {number} depth
   * @returns {string} the separator before the next
   */
  member(key, v, separator, depth) {
    if (v === undefined) return separator;
    this.put(separator + quote(key) + ":");
    this.value(v, depth + 1);
    return ",";
  }
}

/**
 * A member whose getter may throw.
 * @param {Record<string, unknown>} v
 * @param {string} key
 */
function read(v, key) {
  try {
    return v[key];
  } catch (err) {
    return `[can't be read: ${textOf(err)}]`;
  }
}

/**
 * Whether nothing but its members is to be told of it: most objects.
 * @param {any} v
 */
function isPlain(v) {
  return Object.getPrototypeOf(v) === Object.prototype && typeof v.toJSON !== "function";
}

/** @param {unknown} v */
function isBytes(v) {
  return v instanceof Uint8Array || v instanceof Uint8ClampedArray || v instanceof ArrayBuffer || v instanceof DataView;
}

/** @param {Uint8Array | Uint8ClampedArray | ArrayBuffer | DataView} v */
function bytesText(v) {
  const head = v instanceof ArrayBuffer ? new Uint8Array(v, 0, Math.min(32, v.byteLength)) : new Uint8Array(v.buffer, v.byteOffset, Math.min(32, v.byteLength));
  const hex = Array.from(head, (b) => b.toString(16).padStart(2, "0")).join("");
  return `[${v.byteLength} bytes: ${hex}${v.byteLength > 32 ? "…" : ""}]`;
}

/**
 * Whether it is a message of LangChain, whose own JSON is made for loading it
 * again and hard to read.
 * @param {any} v
 */
function isMessage(v) {
  return typeof v._getType === "function" && "content" in v && Array.isArray(v.lc_namespace);
}

/** @param {any} m */
function messageForm(m) {
  const calls = m.tool_calls;
  return {
    type: m._getType(),
    content: m.content,
    name: m.name || undefined,
    id: m.id || undefined,
    tool_calls: Array.isArray(calls) && calls.length > 0 ? calls.map((c) => ({ id: c?.id, name: c?.name, args: c?.args })) : undefined,
    tool_call_id: m.tool_call_id || undefined,
    status: m.status === "error" ? "error" : undefined,
  };
}

/** @param {unknown} v */
function className(v) {
  try {
    const name = Object.getPrototypeOf(v)?.constructor?.name;
    return typeof name === "string" && name ? name : "Object";
  } catch {
    return "Proxy";
  }
}

/** @param {any} f */
function nameOf(f) {
  try {
    return typeof f.name === "string" && f.name ? f.name : "without a name";
  } catch {
    return "without a name";
  }
}

/**
 * What the error says, also if it is none or does not like to be looked at.
 * @param {unknown} err
 * @returns {string}
 */
export function textOf(err) {
  try {
    if (typeof err === "string") return wellFormed(err);
    if (err instanceof Error || (typeof err === "object" && err !== null && "message" in err)) {
      const { message, name } = /** @type {any} */ (err);
      if (message) return wellFormed(String(message));
      if (name) return wellFormed(String(name));
    }
    const text = encode(err, 0).json;
    return text[0] === '"' ? JSON.parse(text) : text;
  } catch {
    return "an error whose text can't be had";
  }
}

/** @param {Error} err */
function describe(err) {
  const text = textOf(err);
  return err.name && err.name !== "Error" && text !== err.name ? `${err.name}: ${text}` : text;
}
