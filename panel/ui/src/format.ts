// Numbers, times and sizes for people.

export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** short is a number in at most four characters or so: 1.2k, 3.4M. */
export function short(n: number): string {
  if (n < 1000) return String(Math.round(n * 10) / 10);
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]] as const) {
    if (n >= size) return trim(n / size) + unit;
  }
  return String(n);
}

function trim(n: number): string {
  return n >= 100 ? String(Math.round(n)) : n.toFixed(1).replace(/\.0$/, "");
}

/** duration of milliseconds: 12 ms, 3.4 s, 5 min 3 s, 2 h 4 min, 3 d 2 h. */
export function duration(ms: number | undefined): string {
  if (ms === undefined || !Number.isFinite(ms)) return "–";
  ms = Math.max(0, ms);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  const min = Math.floor(s / 60);
  if (min < 1440) return `${Math.floor(min / 60)} h ${min % 60} min`;
  return `${Math.floor(min / 1440)} d ${Math.floor((min % 1440) / 60)} h`;
}

/** clock is a running duration, whose width does not jump: 0:07, 12:31, 1:02:03. */
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, "0");
  if (s >= 3600) return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return `${Math.floor(s / 60)}:${two(s % 60)}`;
}

/** ago is how long before now. */
export function ago(time: string | number | undefined, now: number): string {
  if (time === undefined) return "–";
  const ms = now - (typeof time === "number" ? time : Date.parse(time));
  if (ms < 2000) return "just now";
  if (ms < 60_000) return `${Math.floor(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`;
  return `${Math.floor(ms / 86_400_000)} d ago`;
}

const dateTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export function fullTime(time: string | number): string {
  return dateTime.format(new Date(time));
}

/** timeOfDay with milliseconds, in local time. */
export function timeOfDay(ms: number): string {
  const d = new Date(ms);
  const p = (n: number, width = 2) => String(n).padStart(width, "0");
  return `${p(d.getHours())}:${p(d.getMinutes())}:${p(d.getSeconds())}.${p(d.getMilliseconds(), 3)}`;
}

export function percent(rate: number | undefined): string {
  if (rate === undefined) return "–";
  return `${rate >= 0.1 || rate === 0 ? Math.round(rate * 100) : (rate * 100).toFixed(1)} %`;
}

/** oneLine puts text on one line and cuts it. */
export function oneLine(text: string, max = 400): string {
  return (text.length > max ? text.slice(0, max) + "…" : text).replace(/\s+/g, " ");
}
