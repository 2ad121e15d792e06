// Server-Sent Events over fetch: EventSource can't send a header, and a token
// does not belong into an address.

import { signal as state } from "@preact/signals";
import { Problem, send } from "./api";

export interface Frame {
  id: string; // empty: a control event
  event: string;
  data: string;
}

export type Link = "connecting" | "live" | "waiting" | "ended" | "refused";

export interface Connection {
  link: Link;
  retryAt?: number; // waiting: when it is tried again
  why?: string; // waiting, refused
}

/** What the connections of the open page do, the worst of them, for the top bar. */
export const connections = state<Map<symbol, Connection>>(new Map());

function tell(key: symbol, connection: Connection | undefined): void {
  const next = new Map(connections.value);
  if (connection) next.set(key, connection);
  else next.delete(key);
  connections.value = next;
}

/** Parser turns text as it comes into frames. */
export class Parser {
  private rest = "";
  private id = "";
  private event = "";
  private data: string[] = [];
  retry = 0;

  push(text: string): Frame[] {
    const out: Frame[] = [];
    text = this.rest + text;
    let from = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", from)) {
      this.line(text.slice(from, text.charCodeAt(end - 1) === 13 ? end - 1 : end), out);
      from = end + 1;
    }
    this.rest = text.slice(from);
    return out;
  }

  private line(line: string, out: Frame[]): void {
    if (line === "") {
      if (this.data.length > 0) out.push({ id: this.id, event: this.event, data: this.data.join("\n") });
      this.id = this.event = "";
      this.data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const value = line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    switch (line.slice(0, colon)) {
      case "id": this.id = value; break;
      case "event": this.event = value; break;
      case "data": this.data.push(value); break;
      case "retry": this.retry = Number(value) || 0; break;
    }
  }
}

const silence = 45_000; // three signs of life that did not come

let wake = new AbortController(); // ends the waits between tries
export function reconnectNow(): void {
  wake.abort();
  wake = new AbortController();
}
addEventListener("online", reconnectNow);

/**
 * follow reads a stream until it ends or the signal does, and comes back by
 * itself with the last ID it has seen. take gets the frames in order; what it
 * returns as true ends the stream.
 */
export async function follow(
  path: string,
  after: string,
  take: (frames: Frame[]) => boolean | void,
  signal: AbortSignal,
): Promise<void> {
  const key = Symbol(path);
  signal.addEventListener("abort", () => tell(key, undefined));
  let tries = 0;
  let retry = 1000;
  tell(key, { link: "connecting" });
  while (!signal.aborted) {
    let why = "The connection broke off.";
    try {
      const parser = new Parser();
      const ended = await once(path, after, signal, parser, (frames) => {
        tries = 0;
        tell(key, { link: "live" });
        for (const f of frames) if (f.id) after = f.id;
        return take(frames);
      });
      if (parser.retry) retry = parser.retry;
      if (ended) {
        tell(key, { link: "ended" });
        return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Problem) {
        why = error.message;
        if (error.status >= 400 && error.status < 500 && error.status !== 429 && error.status !== 408) {
          tell(key, { link: "refused", why });
          throw error;
        }
      }
    }
    if (signal.aborted) return;
    const delay = Math.min(retry * 2 ** tries++, 15_000) * (0.6 + 0.4 * Math.random());
    tell(key, { link: "waiting", retryAt: Date.now() + delay, why });
    await pause(delay, signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const both = AbortSignal.any([signal, wake.signal]);
  return new Promise((done) => {
    if (both.aborted) return done();
    const timer = setTimeout(done, ms);
    both.addEventListener("abort", () => {
      clearTimeout(timer);
      done();
    });
  });
}

/** once reads one connection to its end. True: the stream is over for good. */
async function once(
  path: string,
  after: string,
  signal: AbortSignal,
  parser: Parser,
  take: (frames: Frame[]) => boolean | void,
): Promise<boolean> {
  const dead = new AbortController();
  const both = AbortSignal.any([signal, dead.signal]);
  let timer = setTimeout(() => dead.abort(), silence);
  try {
    const response = await send(path, {
      headers: { Accept: "text/event-stream", ...(after ? { "Last-Event-ID": after } : {}) },
      signal: both,
      cache: "no-store",
    });
    if (response.status === 204) return true;
    take([]); // connected
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(() => dead.abort(), silence);
      const frames = parser.push(value);
      if (frames.length > 0 && take(frames)) {
        dead.abort();
        return true;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}
