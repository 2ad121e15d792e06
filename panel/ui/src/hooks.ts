import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { says } from "./api";

/** useNow is the time, and shows again every so many milliseconds. */
export function useNow(every = 1000): number {
  const [now, set] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => set(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** useBump gives a function that shows the component again. */
export function useBump(): () => void {
  return useReducer((n: number) => n + 1, 0)[1] as () => void;
}

export interface Loaded<T> {
  value?: T;
  error?: string;
  reload: () => void;
}

/**
 * useLoad keeps what load gives, and asks again every so many milliseconds
 * while the page is visible. A failure keeps the last value, and says so.
 */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, deps: unknown[], every = 0): Loaded<T> {
  const [state, set] = useState<{ value?: T; error?: string }>({});
  const again = useRef<() => void>(() => {});
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    let asking = false;
    const ask = async () => {
      clearTimeout(timer);
      if (asking) return;
      asking = true;
      try {
        const value = await load(stop.signal);
        if (!stop.signal.aborted) set({ value });
      } catch (error) {
        if (!stop.signal.aborted) set((old) => ({ value: old.value, error: says(error) }));
      }
      asking = false;
      if (every && !stop.signal.aborted) timer = window.setTimeout(() => (document.hidden ? wait() : ask()), every);
    };
    const wait = () => addEventListener("visibilitychange", () => ask(), { once: true, signal: stop.signal });
    again.current = ask;
    ask();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, deps);
  return { ...state, reload: () => again.current() };
}

/** useMedia tells whether the media query holds. */
export function useMedia(query: string): boolean {
  const [holds, set] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const change = () => set(media.matches);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, [query]);
  return holds;
}
