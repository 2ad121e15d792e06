import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Icon } from "./icons";
import type { Status } from "./types";

/** StatusDot is a job's status by a mark and a word. */
export function StatusDot({ status, stalled }: { status: Status | string; stalled?: boolean }) {
  const kind = stalled ? "stalled" : status;
  return (
    <span class={"status s-" + kind}>
      <i aria-hidden="true" />
      {stalled ? "stalled" : status}
    </span>
  );
}

export function Label({ name, value }: { name: string; value: string }) {
  return (
    <span class="tag">
      <span class="dim">{name}</span>={value}
    </span>
  );
}

/** Copy puts text on the clipboard, and says so for a moment. */
export function Copy({ text, what, short }: { text: () => string; what: string; short?: boolean }) {
  const [done, set] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      set("Copied");
    } catch {
      set("Can't copy here");
    }
    setTimeout(() => set(""), 1500);
  };
  return (
    <button class={short ? "quiet icon" : "small"} onClick={copy} title={`Copy ${what}`} aria-label={`Copy ${what}`}>
      <Icon name="copy" />
      {done ? <span role="status">{done}</span> : !short && <span>Copy</span>}
    </button>
  );
}

export function Failure({ error, retry }: { error?: string; retry?: () => void }) {
  if (!error) return null;
  return (
    <p class="failure" role="alert">
      {error} {retry && <button class="small" onClick={retry}>Try again</button>}
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}
