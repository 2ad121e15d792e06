import { useEffect, useRef, useState } from "preact/hooks";
import { count, short, timeOfDay } from "../format";
import { Empty, Copy } from "../parts";
import type { Log } from "./log";
import type { Message } from "./messages";

const step = 100;

/** More of one text than that is shown on demand: it is laid out anew with each piece. */
const long = 100_000;

/** Text is what the model wrote, put together from its pieces, as it writes. */
export function Text({ log, version }: { log: Log; version: number }) {
  const [limit, setLimit] = useState(step);
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const all = log.messages.list;
  const shown = all.slice(-limit);
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  });
  const onScroll = () => {
    const el = box.current!;
    atEnd.current = el.scrollTop + el.clientHeight >= el.scrollHeight - 20;
  };
  if (all.length === 0) return <Empty>No model has written anything yet.</Empty>;
  return (
    <div class="scroll pad messages" ref={box} onScroll={onScroll} tabIndex={0} role="region" aria-label="What the model wrote">
      {all.length > limit && <button class="small" onClick={() => setLimit(limit + step)}>{all.length - limit} before these</button>}
      {shown.map((m) => <One key={m.id} m={m} version={m.done ? 0 : version} />)}
    </div>
  );
}

function One({ m }: { m: Message; version: number }) {
  const [all, setAll] = useState(false);
  const text = m.content ?? m.text;
  const cut = !all && text.length > long;
  return (
    <article class="message" data-message={m.id}>
      <header class="bar dim">
        <b>{m.model || m.name || "model"}</b>
        <span class="mono">{timeOfDay(m.time)}</span>
        {m.tokens && <span>{short(m.tokens.input)} in · {short(m.tokens.output)} out</span>}
        {!m.done && <span class="writing">writing…</span>}
        <span class="grow" />
        {text && <Copy text={() => text} what="this text" short />}
      </header>
      {m.reasoning && <details><summary>Reasoning</summary><p class="prose dim">{m.reasoning}</p></details>}
      {cut && <button class="small" onClick={() => setAll(true)}>{count(text.length - long)} characters before these</button>}
      {text && <p class="prose">{cut ? text.slice(-long) : text}</p>}
      {m.refusal && <p class="prose bad">{m.refusal}</p>}
      {m.tools.length > 0 && <p class="dim">asks for {m.tools.join(", ")}</p>}
      {m.error && <p class="bad">{m.error}</p>}
    </article>
  );
}
