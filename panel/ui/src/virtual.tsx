import type { ComponentChildren, JSX, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** What a page may ask of its list. */
export interface ListHandle {
  show(index: number, where?: "nearest" | "center"): void;
  toEnd(): void;
}

type Props = {
  count: number;
  rowHeight: number;
  render: (index: number) => ComponentChildren;
  handle?: RefObject<ListHandle | null>;
  /** Keeps the end in view as rows come. */
  follow?: boolean;
  /** The reader has scrolled away from the end, or back to it. */
  onEnd?: (atEnd: boolean) => void;
  /** First and last row in view. */
  onRange?: (first: number, last: number) => void;
} & Omit<JSX.IntrinsicElements["div"], "ref">;

const overscan = 8;

/** VirtualList shows the rows in view out of any number of equal height. */
export function VirtualList({ count, rowHeight, render, handle, follow, onEnd, onRange, class: extra, ...rest }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const ours = useRef(false); // the next scroll is not the reader's

  const measure = () => {
    const el = box.current;
    if (el) setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight ? v : { top: el.scrollTop, height: el.clientHeight }));
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);

  const toEnd = () => {
    const el = box.current;
    if (!el) return;
    const end = el.scrollHeight - el.clientHeight;
    if (Math.abs(el.scrollTop - end) > 1) {
      ours.current = true;
      el.scrollTop = end;
    }
    measure();
  };
  useLayoutEffect(() => {
    if (follow) toEnd();
  }, [follow, count, view.height]);

  if (handle) {
    handle.current = {
      toEnd,
      show(index, where = "nearest") {
        const el = box.current;
        if (!el) return;
        const top = index * rowHeight;
        if (where === "center") el.scrollTop = top - (el.clientHeight - rowHeight) / 2;
        else if (top < el.scrollTop) el.scrollTop = top;
        else if (top + rowHeight > el.scrollTop + el.clientHeight) el.scrollTop = top + rowHeight - el.clientHeight;
        measure();
      },
    };
  }

  const onScroll = () => {
    measure();
    if (ours.current) {
      ours.current = false;
      return;
    }
    const el = box.current!;
    onEnd?.(el.scrollTop + el.clientHeight >= el.scrollHeight - rowHeight);
  };

  const first = Math.max(0, Math.floor(view.top / rowHeight) - overscan);
  const last = Math.min(count, Math.ceil((view.top + view.height) / rowHeight) + overscan);
  useEffect(() => onRange?.(first, last), [first, last]);

  const rows: ComponentChildren[] = [];
  for (let i = first; i < last; i++) rows.push(render(i));
  return (
    <div {...rest} class={"vlist " + (extra ?? "")} ref={box} onScroll={onScroll}>
      <div class="vlist-space" role="presentation" style={{ height: `${count * rowHeight}px` }}>
        <div class="vlist-rows" role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}
