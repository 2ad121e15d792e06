/**
 * A message of a stream of Server-Sent Events.
 * @typedef {object} Message
 * @property {string} [id]  of this message itself
 * @property {string} event
 * @property {string} data
 */

/** Parses Server-Sent Events as they arrive. */
export class SSEParser {
  /** @type {number | undefined} the last retry field, in milliseconds */
  retry;
  rest = ""; // of a line that has not ended
  first = true;

  constructor() {
    this.reset();
  }

  reset() {
    /** @type {string | undefined} */
    this.id = undefined;
    this.event = "";
    /** @type {string[]} */
    this.data = [];
  }

  /**
   * The messages that this piece of text completes.
   * @param {string} text
   * @returns {Message[]}
   */
  push(text) {
    if (this.first && text !== "") {
      this.first = false;
      if (text[0] === "\uFEFF") text = text.slice(1);
    }
    let rest = this.rest + text;
    // A carriage return at the end may be half of a line's end.
    const held = rest.endsWith("\r") ? "\r" : "";
    if (held) rest = rest.slice(0, -1);
    const lines = rest.split(/\r\n|\n|\r/);
    this.rest = lines.pop() + held;
    const messages = [];
    for (const line of lines) {
      const m = this.line(line);
      if (m) messages.push(m);
    }
    return messages;
  }

  /**
   * @param {string} line
   * @returns {Message | undefined}
   */
  line(line) {
    if (line === "") return this.message();
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") this.data.push(value);
    else if (field === "event") this.event = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return undefined;
  }

  message() {
    const m = { id: this.id, event: this.event || "message", data: this.data.join("\n") };
    const empty = this.data.length === 0;
    this.reset();
    return empty ? undefined : m;
  }
}
