import { useMemo } from "preact/hooks";
import { count, fullTime } from "../format";
import { Icon } from "../icons";
import { Copy } from "../parts";
import { parse, pretty } from "./json";
import { JSONView } from "./jsonview";
import type { Row } from "./log";

type Props = { row: Row; index: number; close: () => void; step: (n: number) => void };

/** Inspector shows one event whole. */
export function Inspector({ row, index, close, step }: Props) {
  const data = useMemo(() => dataText(row.raw), [row.raw]);
  return (
    <aside class="inspector" aria-label="The selected event">
      <div class="bar">
        <h2>{row.type}</h2>
        <span class="grow" />
        <Copy text={() => formatted(row.raw)} what="the event as JSON" />
        <Copy text={() => location.href} what="a link to this event" short />
        <button class="quiet icon" onClick={() => step(-1)} aria-label="Event before" title="Event before (↑)">↑</button>
        <button class="quiet icon" onClick={() => step(1)} aria-label="Next event" title="Next event (↓)">↓</button>
        <button class="quiet icon" onClick={close} aria-label="Close" title="Close (Esc)"><Icon name="close" /></button>
      </div>
      <p class="dim mono">#{count(index + 1)} · {row.id} · {fullTime(row.time)}</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Data">
        <JSONView text={data} />
      </div>
    </aside>
  );
}

/** dataText is the event's data as it stands in its JSON. */
function dataText(raw: string): string {
  try {
    const node = parse(raw);
    const data = node.kind === "object" ? node.entries.find(([k]) => k === "data")?.[1] : undefined;
    return data ? pretty(data) : raw;
  } catch {
    return raw; // nested too deep to be drawn
  }
}

function formatted(raw: string): string {
  try {
    return pretty(parse(raw));
  } catch {
    return raw;
  }
}
