/** The JSON object of an event's data, member by member. */
export declare class Data {
    json: string;
    truncated: string;
    /** @param {string} [members]  that it begins with, as JSON */
    constructor(members?: string);
    /**
     * Adds JSON, unless it is empty.
     * @param {string} name
     * @param {string} json
     */
    raw(name: string, json: string): this;
    /**
     * @param {string} name
     * @param {string} value
     */
    str(name: string, value: string): this;
    /**
     * Adds the string unless it is empty.
     * @param {string} name
     * @param {string | undefined} value
     */
    text(name: string, value: string | undefined): this;
    /**
     * Adds an encoded value, and notes if it was cut.
     * @param {string} name
     * @param {import("./encode.js").Encoded} value
     */
    value(name: string, value: import("./encode.js").Encoded): this;
    /**
     * Notes that a value was cut that stands elsewhere in the data.
     * @param {string} name
     * @param {import("./encode.js").Encoded} value
     */
    note(name: string, value: import("./encode.js").Encoded): this;
    /**
     * Adds members that are JSON already.
     * @param {string} members
     */
    members(members: string): this;
    /**
     * Adds a finite number.
     * @param {string} name
     * @param {number} value
     */
    number(name: string, value: number): this;
    /**
     * Adds a duration in whole milliseconds.
     * @param {string} name
     * @param {number} ms
     */
    millis(name: string, ms: number): this;
    end(): string;
}
