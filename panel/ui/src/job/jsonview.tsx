import { useMemo, useState } from "preact/hooks";
import { parse, type Node } from "./json";

const manyItems = 100;
const longText = 1500;

/** JSONView shows JSON as a tree that opens where one looks. It makes text of it, never HTML. */
export function JSONView({ text }: { text: string }) {
  const node = useMemo(() => {
    try {
      return parse(text);
    } catch {
      return undefined;
    }
  }, [text]);
  return <div class="json mono">{node ? <Value node={node} depth={0} /> : text}</div>;
}

function Value({ node, depth }: { node: Node; depth: number }) {
  switch (node.kind) {
    case "string": return <Long text={node.value} />;
    case "number": return <span class="j-num">{node.text}</span>;
    case "word": return <span class="j-word">{node.text}</span>;
    case "array": return <Members items={node.items.map((v, i) => [String(i), v])} open="[" close="]" depth={depth} />;
    case "object": return <Members items={node.entries} open="{" close="}" depth={depth} />;
  }
}

function Members({ items, open, close, depth }: { items: [string, Node][]; open: string; close: string; depth: number }) {
  const [shown, setShown] = useState(depth < 3 && items.length <= manyItems ? true : false);
  const [limit, setLimit] = useState(manyItems);
  if (items.length === 0) return <span>{open + close}</span>;
  return (
    <>
      <button class="j-fold" aria-expanded={shown} onClick={() => setShown(!shown)}>
        {shown ? open : `${open} ${items.length} ${close}`}
      </button>
      {shown && (
        <>
          <div class="j-in">
            {items.slice(0, limit).map(([k, v], i) => (
              <div key={i}>
                <span class="j-key">{k}</span>
                <span class="dim">: </span>
                <Value node={v} depth={depth + 1} />
              </div>
            ))}
            {items.length > limit && <button class="small" onClick={() => setLimit(limit * 10)}>{items.length - limit} more</button>}
          </div>
          {close}
        </>
      )}
    </>
  );
}

function Long({ text }: { text: string }) {
  const [all, set] = useState(false);
  const cut = !all && text.length > longText;
  return (
    <span class="j-str">
      {cut ? text.slice(0, longText) + "…" : text}
      {cut && <button class="small" onClick={() => set(true)}>all {text.length.toLocaleString("en-US")} characters</button>}
    </span>
  );
}
