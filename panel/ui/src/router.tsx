import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { at, below } from "./base";

/** The address: everything that a page shows is in it, so that it can be shared. */
export interface Route {
  path: string; // below the root, "jobs/a%2Fb"
  query: URLSearchParams;
}

function current(): Route {
  return { path: below(location.pathname), query: new URLSearchParams(location.search) };
}

export const route = signal<Route>(current());

addEventListener("popstate", () => (route.value = current()));

/** href is the address of a page. */
export function href(path: string, query?: Record<string, string | undefined>): string {
  const text = queryText(query);
  return at(path) + (text ? "?" + text : "");
}

function queryText(query: Record<string, string | undefined> = {}): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v) q.set(k, v);
  return q.toString();
}

export function jobPath(id: string): string {
  return "jobs/" + encodeURIComponent(id);
}

/** go opens a page. */
export function go(path: string, query?: Record<string, string | undefined>): void {
  history.pushState(null, "", href(path, query));
  route.value = current();
}

/** setQuery changes members of the query; empty ones go. */
export function setQuery(change: Record<string, string | undefined>, push = false): void {
  const q = new URLSearchParams(location.search);
  for (const [k, v] of Object.entries(change)) {
    if (v) q.set(k, v);
    else q.delete(k);
  }
  const text = q.toString();
  const url = location.pathname + (text ? "?" + text : "");
  if (url === location.pathname + location.search) return;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  route.value = current();
}

type LinkProps = {
  to: string;
  query?: Record<string, string | undefined>;
  children: ComponentChildren;
  class?: string;
  title?: string;
  tabIndex?: number;
  "aria-label"?: string;
  "aria-current"?: "page" | undefined;
};

/** Link opens a page without loading the panel again. */
export function Link({ to, query, children, ...rest }: LinkProps) {
  const click = (e: MouseEvent) => {
    if (e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
    e.preventDefault();
    go(to, query);
  };
  return (
    <a {...rest} href={href(to, query)} onClick={click}>
      {children}
    </a>
  );
}
