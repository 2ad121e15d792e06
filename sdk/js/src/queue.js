import { quote, byteLength } from "./text.js";

/** @typedef {import("./runs.js").ModelRun} ModelRun */

/** The limits of what is taken as one batch. */
const MAX_BATCH_EVENTS = 512;
const MAX_BATCH_BYTES = 256 << 10;
/** What an event takes in the queue besides its data. */
const OVERHEAD = 96;

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
export class Queue {
  /** @type {Item[]} */
  items = [];
  bytes = 0; // of items, and of taken ones that are not freed yet
  deltas = 0; // of items
  round = 0; // a delta joins only one of the same round
  put = 0; // items ever put
  settled = 0; // of them acknowledged or given up
  ended = false; // the terminal event was put
  closed = false; // nothing more will come
  lastDelta = -Infinity;
  /** @type {Loss | undefined} */
  open; // the last item, while it stands for dropped events
  /** @type {Error | undefined} */
  refusing;
  dropped = 0;
  strays = 0;

  /** @param {number} limit  in bytes */
  constructor(limit) {
    this.limit = limit;
  }

  takes() {
    return !this.ended && !this.closed && !this.refusing;
  }

  /**
   * Puts an event, or counts it as dropped or a stray. A terminal one always
   * finds room and is the last.
   * @param {string} type
   * @param {number} at
   * @param {string} data
   * @param {boolean} terminal
   */
  putEvent(type, at, data, terminal) {
    const size = byteLength(data) + type.length + OVERHEAD;
    if (!this.takes()) return this.stray();
    if (!terminal && !this.makeRoom(size, false)) return this.drop(1, size);
    this.ended = terminal;
    this.round++; // what comes behind it must not join what is before it
    this.add({ type, at, data, size });
  }

  /**
   * Puts a piece of a stream, joined to the one before if that still waits and
   * only other streams' pieces came between.
   * @param {ModelRun} stream
   * @param {string} channel
   * @param {string} text
   */
  putDelta(stream, channel, text) {
    if (!this.takes()) return this.stray();
    let size = byteLength(text);
    const last = this.joinable(stream, channel);
    if (!last) size += stream.place.length + OVERHEAD;
    if (!this.makeRoom(size, true)) return this.drop(1, size);
    if (last) {
      last.text += text;
      last.size += size;
      this.bytes += size;
      return;
    }
    const item = { stream, channel, text, at: Date.now(), size, round: this.round, queued: true };
    stream.tail = item;
    this.deltas++;
    this.add(item);
  }

  /**
   * @param {ModelRun} stream
   * @param {string} channel
   */
  joinable(stream, channel) {
    const t = stream.tail;
    return t && t.queued && t.channel === channel && t.round === this.round && t.size <= MAX_BATCH_BYTES / 4 ? t : undefined;
  }

  /** @param {Item} item */
  add(item) {
    this.items.push(item);
    this.bytes += item.size;
    this.put++;
    this.open = "loss" in item ? item : undefined;
  }

  stray() {
    this.strays++;
  }

  /**
   * Counts lost events and leaves a note of them at this place, which finds room
   * always.
   * @param {number} events
   * @param {number} bytes
   */
  drop(events, bytes) {
    this.dropped += events;
    if (!this.open) {
      this.round++;
      this.add({ loss: true, events: 0, bytes: 0, at: Date.now(), size: OVERHEAD });
    }
    const open = /** @type {Loss} */ (/** @type {unknown} */ (this.open));
    open.events += events;
    open.bytes += bytes;
  }

  /**
   * Whether so many more bytes may be put. Queued deltas go for what is none.
   * @param {number} size
   * @param {boolean} delta
   */
  makeRoom(size, delta) {
    if (this.bytes + size <= this.limit) return true;
    if (!delta && this.deltas > 0) this.evictDeltas(this.bytes + size - this.limit);
    return this.bytes + size <= this.limit;
  }

  /**
   * Drops the newest deltas, until so many bytes are free.
   * @param {number} need
   */
  evictDeltas(need) {
    this.round++;
    let events = 0;
    let bytes = 0;
    const gone = new Set();
    for (let i = this.items.length - 1; i >= 0 && need > bytes; i--) {
      const it = this.items[i];
      if (!("stream" in it)) continue;
      events++;
      bytes += it.size;
      it.queued = false;
      gone.add(it);
    }
    this.items = this.items.filter((it) => !gone.has(it));
    this.bytes -= bytes;
    this.deltas -= events;
    this.settled += events;
    this.drop(events, bytes);
  }

  /**
   * In how many milliseconds a batch is due: 0 now, Infinity when something comes.
   * @param {number} now  of a clock that does not jump
   * @param {number} coalesce
   */
  due(now, coalesce) {
    if (this.items.length === 0) return Infinity;
    if (this.deltas < this.items.length || this.ended || this.closed || this.bytes >= MAX_BATCH_BYTES) return 0;
    return Math.max(0, coalesce - (now - this.lastDelta));
  }

  /**
   * Takes the items of the next batch. Their bytes stay counted until they are
   * settled.
   * @param {number} now
   */
  pop(now) {
    let n = 0;
    let bytes = 0;
    while (n < this.items.length && n < MAX_BATCH_EVENTS && (n === 0 || bytes + this.items[n].size <= MAX_BATCH_BYTES)) {
      const it = this.items[n++];
      bytes += it.size;
      if ("stream" in it) {
        this.deltas--;
        it.queued = false;
        this.lastDelta = now;
      }
      if (it === this.open) this.open = undefined;
    }
    return { items: this.items.splice(0, n), bytes };
  }

  /**
   * Items are acknowledged or given up.
   * @param {number} items
   * @param {number} bytes
   */
  settle(items, bytes) {
    this.settled += items;
    this.bytes -= bytes;
  }

  /** Takes everything out and says how many items that were. */
  empty() {
    const n = this.items.length;
    for (const it of this.items) {
      this.bytes -= it.size;
      if ("stream" in it) it.queued = false;
    }
    this.items = [];
    this.deltas = 0;
    this.open = undefined;
    this.settled += n;
    return n;
  }

  /**
   * Takes nothing more, and gives up what is there.
   * @param {Error} reason
   */
  refuse(reason) {
    if (this.refusing) return;
    this.refusing = reason;
    this.strays += this.empty();
  }
}

/**
 * An item as the event that the server takes.
 * @param {Item} it
 */
export function eventJSON(it) {
  if ("loss" in it) return withTime("custom", it.at, lossData(it));
  if ("stream" in it) return withTime("thought", it.at, it.stream.h.deltaData(it.stream, it.channel, it.text));
  return withTime(it.type, it.at, it.data);
}

/**
 * @param {string} type
 * @param {number} at
 * @param {string} data
 */
function withTime(type, at, data) {
  return `{"event_type":${quote(type)},"timestamp":"${new Date(at).toISOString()}","data":${data}}`;
}

/** @param {Loss} l */
function lossData(l) {
  return `{"name":"tidings.dropped","value":{"events":${l.events},"bytes":${l.bytes},"since":"${new Date(l.at).toISOString()}"}}`;
}
