export type ModelRun = import("./runs.js").ModelRun;
export type EventItem = {
    type: string;
    /**
     * Unix time in milliseconds
     */
    at: number;
    /**
     * JSON
     */
    data: string;
    size: number;
};
export type DeltaItem = {
    stream: ModelRun;
    channel: string;
    text: string;
    at: number;
    size: number;
    round: number;
    queued: boolean;
};
export type Loss = {
    events: number;
    bytes: number;
    /**
     * when the first was dropped
     */
    at: number;
    size: number;
    loss: true;
};
export type Item = EventItem | DeltaItem | Loss;
/**
 * An event that waits.
 * @typedef {object} EventItem
 * @property {string} type
 * @property {number} at  Unix time in milliseconds
 * @property {string} data  JSON
 * @property {number} size
 */
/**
 * A piece of a stream that waits and may take more text.
 * @typedef {object} DeltaItem
 * @property {ModelRun} stream
 * @property {string} channel
 * @property {string} text
 * @property {number} at
 * @property {number} size
 * @property {number} round
 * @property {boolean} queued
 */
/**
 * Stands for events that were dropped at this place.
 * @typedef {object} Loss
 * @property {number} events
 * @property {number} bytes
 * @property {number} at  when the first was dropped
 * @property {number} size
 * @property {true} loss
 */
/** @typedef {EventItem | DeltaItem | Loss} Item */
/**
 * Holds a job's events, in order, until they are acknowledged. Putting never
 * waits: what the limit does not allow is dropped, counted, and told of by an
 * event at that place.
 */
export declare class Queue {
    limit: number;
    /** @type {Item[]} */
    items: Item[];
    bytes: number;
    deltas: number;
    round: number;
    put: number;
    settled: number;
    ended: boolean;
    closed: boolean;
    lastDelta: number;
    /** @type {Loss | undefined} */
    open: Loss | undefined;
    /** @type {Error | undefined} */
    refusing: Error | undefined;
    dropped: number;
    strays: number;
    /** @param {number} limit  in bytes */
    constructor(limit: number);
    takes(): boolean;
    /**
     * Puts an event, or counts it as dropped or a stray. A terminal one always
     * finds room and is the last.
     * @param {string} type
     * @param {number} at
     * @param {string} data
     * @param {boolean} terminal
     */
    putEvent(type: string, at: number, data: string, terminal: boolean): void;
    /**
     * Puts a piece of a stream, joined to the one before if that still waits and
     * only other streams' pieces came between.
     * @param {ModelRun} stream
     * @param {string} channel
     * @param {string} text
     */
    putDelta(stream: ModelRun, channel: string, text: string): void;
    /**
     * @param {ModelRun} stream
     * @param {string} channel
     */
    joinable(stream: ModelRun, channel: string): DeltaItem | undefined;
    /** @param {Item} item */
    add(item: Item): void;
    stray(): void;
    /**
     * Counts lost events and leaves a note of them at this place, which finds room
     * always.
     * @param {number} events
     * @param {number} bytes
     */
    drop(events: number, bytes: number): void;
    /**
     * Whether so many more bytes may be put. Queued deltas go for what is none.
     * @param {number} size
     * @param {boolean} delta
     */
    makeRoom(size: number, delta: boolean): boolean;
    /**
     * Drops the newest deltas, until so many bytes are free.
     * @param {number} need
     */
    evictDeltas(need: number): void;
    /**
     * In how many milliseconds a batch is due: 0 now, Infinity when something comes.
     * @param {number} now  of a clock that does not jump
     * @param {number} coalesce
     */
    due(now: number, coalesce: number): number;
    /**
     * Takes the items of the next batch. Their bytes stay counted until they are
     * settled.
     * @param {number} now
     */
    pop(now: number): {
        items: Item[];
        bytes: number;
    };
    /**
     * Items are acknowledged or given up.
     * @param {number} items
     * @param {number} bytes
     */
    settle(items: number, bytes: number): void;
    /** Takes everything out and says how many items that were. */
    empty(): number;
    /**
     * Takes nothing more, and gives up what is there.
     * @param {Error} reason
     */
    refuse(reason: Error): void;
}
/**
 * An item as the event that the server takes.
 * @param {Item} it
 */
export declare function eventJSON(it: Item): string;
