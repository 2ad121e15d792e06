import { quote } from "./text.js";

/** The JSON object of an event's data, member by member. */
export class Data {
  /** @param {string} [members]  that it begins with, as JSON */
  constructor(members = "") {
    this.json = "{" + members;
    this.truncated = "";
  }

  /**
   * Adds JSON, unless it is empty.
   * @param {string} name
   * @param {string} json
   */
  raw(name, json) {
    if (json !== "") this.json += (this.json === "{" ? '"' : ',"') + name + '":' + json;
    return this;
  }

  /**
   * @param {string} name
   * @param {string} value
   */
  str(name, value) {
    return this.raw(name, quote(value));
  }

  /**
   * Adds the string unless it is empty.
   * @param {string} name
   * @param {string | undefined} value
   */
  text(name, value) {
    return value ? this.raw(name, quote(String(value))) : this;
  }

  /**
   * Adds an encoded value, and notes if it was cut.
   * @param {string} name
   * @param {import("./encode.js").Encoded} value
   */
  value(name, value) {
    this.note(name, value);
    return this.raw(name, value.json);
  }

  /**
   * Notes that a value was cut that stands elsewhere in the data.
   * @param {string} name
   * @param {import("./encode.js").Encoded} value
   */
  note(name, value) {
    if (value.full > 0) this.truncated += `${this.truncated && ","}"${name}":${value.full}`;
    return this;
  }

  /**
   * Adds members that are JSON already.
   * @param {string} members
   */
  members(members) {
    if (members !== "") this.json += (this.json === "{" ? "" : ",") + members;
    return this;
  }

  /**
   * Adds a finite number.
   * @param {string} name
   * @param {number} value
   */
  number(name, value) {
    return this.raw(name, String(value));
  }

  /**
   * Adds a duration in whole milliseconds.
   * @param {string} name
   * @param {number} ms
   */
  millis(name, ms) {
    return this.raw(name, String(Math.max(0, Math.floor(ms)) || 0));
  }

  end() {
    return this.raw("truncated", this.truncated && `{${this.truncated}}`).json + "}";
  }
}
