import { signal } from "@preact/signals";
import { at } from "./base";

const tokenKey = "tidings.token";

/** The token, for this tab and until it closes. */
export function token(): string {
  return sessionStorage.getItem(tokenKey) ?? "";
}

/** Why the server wants a token; empty: it does not. */
export const wantsToken = signal("");

/** Grows at each sign-in, so that pages start over. */
export const session = signal(0);

export function signIn(value: string): void {
  sessionStorage.setItem(tokenKey, value);
  wantsToken.value = "";
  session.value++;
}

export function signOut(): void {
  sessionStorage.removeItem(tokenKey);
  wantsToken.value = "You have signed out.";
}

/** Problem is an answer that is no success, as RFC 9457 tells it. */
export class Problem extends Error {
  constructor(
    readonly status: number, // 0: the server was not reached
    readonly title: string,
    detail: string,
    readonly members: Record<string, unknown> = {},
  ) {
    super(detail || title);
  }
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  const t = token();
  return t ? { ...more, Authorization: "Bearer " + t } : more;
}

/** send asks the API; a failure is a Problem, or the signal's AbortError. */
export async function send(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(at(path), { ...init, headers: headers(init.headers as Record<string, string>) });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem(0, "The server can't be reached", "The server can't be reached.");
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response: Response): Promise<Problem> {
  let body: Record<string, unknown> = {};
  try {
    body = await response.json();
  } catch {
    // a proxy's own page
  }
  const detail = String(body.detail ?? `The server answered ${response.status}.`);
  if (response.status === 401) wantsToken.value = token() ? detail : "This server asks for a token.";
  return new Problem(response.status, String(body.title ?? response.statusText), detail, body);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await send(path, { signal })).json();
}

export async function change<T>(method: string, path: string, body?: unknown): Promise<T | undefined> {
  const response = await send(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response.status === 204 ? undefined : response.json();
}

/** says is an error in a sentence for people. */
export function says(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** path puts a job's ID into the API's path. */
export function jobAPI(id: string, rest = ""): string {
  return "v1/jobs/" + encodeURIComponent(id) + rest;
}
