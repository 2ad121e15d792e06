// Where the panel is mounted. The server writes <base> relative to the page; it
// is made absolute here, before the address changes under it.
const base = document.querySelector("base")!;
const root = new URL(base.href);
base.href = root.href;

/** Whether the server takes no changes. */
export const readOnly = document.documentElement.dataset.readOnly === "true";

/** at gives the path of something below the panel's root, such as "v1/jobs". */
export function at(path: string): string {
  return root.pathname + path;
}

/** below gives the part of the address below the root; undefined outside. */
export function below(pathname: string): string {
  return pathname.startsWith(root.pathname) ? pathname.slice(root.pathname.length) : "";
}
