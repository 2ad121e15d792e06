import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, says } from "../api";
import { useFeed } from "../feed";
import { ago, clock, count, duration, fullTime, oneLine, short } from "../format";
import { useMedia, useNow } from "../hooks";
import { Icon } from "../icons";
import { Empty, Failure, Label, StatusDot } from "../parts";
import { go, jobPath, Link, route, setQuery } from "../router";
import { ended, statuses, type Job } from "../types";
import { VirtualList, type ListHandle } from "../virtual";


const page = 200;

/** How many jobs free text is looked for in. */
const farthest = 20_000;
const spans: Record<string, number> = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440, "7d": 10080 };

interface Filter {
  status: string;
  name: string;
  label: string;
  since: string;
  stalled: string;
  q: string;
}

function filterOf(q: URLSearchParams): Filter {
  const one = (k: string) => q.get(k) ?? "";
  return { status: one("status"), name: one("name"), label: one("label"), since: one("since"), stalled: one("stalled"), q: one("q") };
}

/** queryOf is what the API can filter; the text is looked for here. */
function queryOf(f: Filter, cursor: string, limit = page): string {
  const q = new URLSearchParams({ limit: String(limit) });
  if (f.status) q.set("status", f.status);
  if (f.name) q.set("name", f.name);
  for (const label of f.label.split(",").map((l) => l.trim())) if (label.includes("=")) q.append("label", label);
  if (spans[f.since]) q.set("since", new Date(Date.now() - spans[f.since]! * 60_000).toISOString());
  if (f.stalled) q.set("stalled", "true");
  if (cursor) q.set("cursor", cursor);
  return "v1/jobs?" + q;
}

function contains(job: Job, needle: string): boolean {
  if (!needle) return true;
  const hay = [job.id, job.name, job.message, job.error, job.phase, job.task?.worker, job.task?.queue, ...Object.entries(job.labels ?? {}).map((l) => l.join("="))];
  return hay.some((s) => s?.toLowerCase().includes(needle));
}

/** The listing, its further pages, and what happens to them. */
function useJobs(filter: Filter, paused: boolean) {
  const [jobs, setJobs] = useState<Job[] | undefined>();
  const [next, setNext] = useState("");
  const [error, setError] = useState("");
  const [fresh, setFresh] = useState(0); // told of while paused
  const busy = useRef(false);
  const key = JSON.stringify({ ...filter, q: "" });
  const now = useRef({ jobs, key, paused });
  now.current = { jobs, key, paused };

  const failed = (e: unknown) => setError(says(e));

  /** first asks for the newest page and keeps the further ones. */
  const first = async () => {
    const asked = key;
    try {
      const got = await get<{ jobs: Job[]; next_cursor: string }>(queryOf(filter, ""));
      if (now.current.key !== asked) return;
      setError("");
      setFresh(0);
      const had = now.current.jobs ?? [];
      if (had.length <= page || !got.next_cursor) {
        setJobs(got.jobs);
        setNext(got.next_cursor);
        return;
      }
      const oldest = got.jobs.at(-1)?.created_at ?? "";
      const seen = new Set(got.jobs.map((j) => j.id));
      setJobs([...got.jobs, ...had.filter((j) => !seen.has(j.id) && j.created_at <= oldest)]);
    } catch (e) {
      failed(e);
    }
  };

  const more = async () => {
    if (busy.current || !next) return;
    busy.current = true;
    const asked = key;
    try {
      const got = await get<{ jobs: Job[]; next_cursor: string }>(queryOf(filter, next, 1000));
      if (now.current.key === asked) {
        const seen = new Set((now.current.jobs ?? []).map((j) => j.id));
        setJobs([...(now.current.jobs ?? []), ...got.jobs.filter((j) => !seen.has(j.id))]);
        setNext(got.next_cursor);
      }
    } catch (e) {
      failed(e);
    }
    busy.current = false;
  };

  /** update asks again for jobs of further pages that something was told of. */
  const update = async (ids: string[]) => {
    const got = await Promise.allSettled(ids.map((id) => get<Job>("v1/jobs/" + encodeURIComponent(id))));
    const by = new Map(got.flatMap((r) => (r.status === "fulfilled" ? [[r.value.id, r.value] as const] : [])));
    setJobs((old) => old?.map((j) => by.get(j.id) ?? j));
  };

  useEffect(() => {
    setJobs(undefined);
    setNext("");
    first();
  }, [key]);

  useFeed((told) => {
    if (now.current.paused) return setFresh((n) => n + told.size);
    first();
    const known = (now.current.jobs ?? []).slice(page).filter((j) => told.has(j.id)).slice(0, 20);
    if (known.length > 0) update(known.map((j) => j.id));
  });

  useEffect(() => {
    const timer = setInterval(() => !now.current.paused && !document.hidden && first(), 10_000); // leases run out without an event
    return () => clearInterval(timer);
  }, [key]);

  return { jobs, next, error, fresh, first, more };
}

/** Jobs is the live table of all jobs. */
export function Jobs() {
  const filter = filterOf(route.value.query);
  const [paused, setPaused] = useState(false);
  const { jobs, next, error, fresh, first, more } = useJobs(filter, paused);
  const needle = filter.q.trim().toLowerCase();
  const rows = useMemo(() => jobs?.filter((j) => contains(j, needle)), [jobs, needle]);
  const far = (jobs?.length ?? 0) >= farthest;
  const exact = useExact(filter.q.trim(), !!rows && rows.length === 0);
  useEffect(() => {
    // Free text looks through more than the first page.
    if (needle && next && !far) more();
  }, [needle, next, jobs?.length]);

  const resume = () => {
    setPaused(!paused);
    if (paused) first();
  };
  return (
    <div class="page jobs">
      <div class="bar">
        <h1>Jobs</h1>
        <span class="dim" data-count>{rows ? `${count(rows.length)}${next ? "+" : ""}` : ""}</span>
        <span class="grow" />
        <Field label="Search" name="q" value={filter.q} hint="ID, name, message, error…  ( / )" wide />
        <button class="small" aria-pressed={paused} onClick={resume}>
          <Icon name={paused ? "play" : "pause"} /> {paused ? (fresh ? `Resume · ${fresh} changed` : "Resume") : "Pause"}
        </button>
      </div>
      <Filters filter={filter} />
      <Failure error={error} retry={first} />
      {rows && rows.length === 0 && !exact ? (
        <Nothing filter={filter} more={!!next && !far} far={!!next && far} />
      ) : (
        <Table rows={rows?.length || !exact ? (rows ?? []) : [exact]} loading={!rows} onEnd={more} />
      )}
    </div>
  );
}

/** useExact finds the job whose ID was searched for, however old it is. */
function useExact(id: string, wanted: boolean): Job | undefined {
  const [found, set] = useState<Job | undefined>();
  useEffect(() => {
    set(undefined);
    if (!wanted || !id) return;
    const stop = new AbortController();
    get<Job>("v1/jobs/" + encodeURIComponent(id), stop.signal).then(set, () => {});
    return () => stop.abort();
  }, [id, wanted]);
  return found?.id === id ? found : undefined;
}

function Nothing({ filter, more, far }: { filter: Filter; more: boolean; far: boolean }) {
  if (far) return <Empty>Not among the newest {count(farthest)} jobs that pass the filters. A whole job ID is found however old it is.</Empty>;
  if (more) return <Empty>Looking through older jobs…</Empty>;
  if (Object.values(filter).some(Boolean))
    return (
      <Empty>
        No job passes these filters. <Link to="jobs" class="button small">Clear them</Link>
      </Empty>
    );
  return <Empty>No jobs yet. A job begins with its first event; try <code>tidings demo</code>.</Empty>;
}

function Filters({ filter }: { filter: Filter }) {
  const chosen = new Set(filter.status.split(",").filter(Boolean));
  const toggle = (status: string) => {
    const after = new Set(chosen);
    if (!after.delete(status)) after.add(status);
    setQuery({ status: [...after].join(",") });
  };
  return (
    <div class="filters" role="search" aria-label="Filter jobs">
      <div class="chips" role="group" aria-label="Status">
        {statuses.map((s) => (
          <button key={s} class="chip" aria-pressed={chosen.has(s)} onClick={() => toggle(s)} data-status={s}>
            <StatusDot status={s} />
          </button>
        ))}
        <button class="chip" aria-pressed={!!filter.stalled} onClick={() => setQuery({ stalled: filter.stalled ? "" : "true" })}>
          <StatusDot status="stalled" stalled />
        </button>
      </div>
      <Field label="Name" name="name" value={filter.name} hint="exactly" />
      <Field label="Label" name="label" value={filter.label} hint="key=value" />
      <label class="field">
        <span>Created</span>
        <select value={filter.since} onChange={(e) => setQuery({ since: e.currentTarget.value })}>
          <option value="">any time</option>
          {Object.keys(spans).map((s) => <option key={s} value={s}>last {s}</option>)}
        </select>
      </label>
    </div>
  );
}

function Field({ label, name, value, hint, wide }: { label: string; name: string; value: string; hint: string; wide?: boolean }) {
  const [text, set] = useState(value);
  const timer = useRef(0);
  useEffect(() => set(value), [value]);
  const input = (v: string) => {
    set(v);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setQuery({ [name]: v }), 250);
  };
  return (
    <label class={"field" + (wide ? " wide" : "")}>
      <span class={wide ? "hidden" : ""}>{label}</span>
      <input type="search" name={name} value={text} placeholder={hint} spellcheck={false} onInput={(e) => input(e.currentTarget.value)} />
    </label>
  );
}

function Table({ rows, loading, onEnd }: { rows: Job[]; loading: boolean; onEnd: () => void }) {
  const narrow = useMedia("(max-width: 720px)");
  const height = narrow ? 60 : 34;
  const handle = useRef<ListHandle>(null);
  const [active, setActive] = useState("");
  const index = rows.findIndex((j) => j.id === active);
  const now = useNow();

  const move = (to: number) => {
    to = Math.max(0, Math.min(rows.length - 1, to));
    if (!rows[to]) return;
    setActive(rows[to]!.id);
    handle.current?.show(to);
  };
  const key = (e: KeyboardEvent) => {
    const steps: Record<string, number> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 15, PageUp: -15 };
    if (e.metaKey || e.ctrlKey || e.altKey) return;
    if (steps[e.key]) move(index < 0 && steps[e.key]! > 0 ? 0 : index + steps[e.key]!);
    else if (e.key === "Home") move(0);
    else if (e.key === "End") move(rows.length - 1);
    else if (e.key === "Enter" && rows[index]) go(jobPath(rows[index]!.id));
    else return;
    e.preventDefault();
  };
  useSlash();
  return (
    <div class="table card" role="grid" aria-label="Jobs" aria-rowcount={rows.length + 1} aria-busy={loading}
      tabIndex={0} onKeyDown={key} aria-activedescendant={index >= 0 ? "job-" + index : undefined}>
      <div class="thead" role="row" aria-rowindex={1}>
        {["Status", "Job", "What", "Events", "Tokens", "Time", "Created"].map((h) => <span key={h} role="columnheader" class={"c-" + h.toLowerCase()}>{h}</span>)}
      </div>
      <VirtualList
        count={rows.length} rowHeight={height} handle={handle} role="rowgroup"
        onRange={(_, last) => last >= rows.length - 20 && onEnd()}
        render={(i) => <JobRow key={rows[i]!.id} job={rows[i]!} index={i} now={now} active={rows[i]!.id === active} narrow={narrow} />}
      />
    </div>
  );
}

/** useSlash brings "/" to the search field. */
function useSlash() {
  useEffect(() => {
    const key = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (e.key !== "/" || /INPUT|TEXTAREA|SELECT/.test(target.tagName)) return;
      const field = document.querySelector<HTMLInputElement>("input[type=search]");
      if (!field) return;
      e.preventDefault();
      field.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
}

function JobRow({ job, index, now, active, narrow }: { job: Job; index: number; now: number; active: boolean; narrow: boolean }) {
  const end = job.ended_at ? Date.parse(job.ended_at) : ended(job.status) ? Date.parse(job.updated_at) : now;
  const took = end - Date.parse(job.created_at);
  const tokens = job.usage ? job.usage.input_tokens + job.usage.output_tokens : 0;
  const labels = Object.entries(job.labels ?? {});
  const what = job.error || [job.phase === "job" ? "" : job.phase, job.message].filter(Boolean).join(" · ");
  const open = (e: MouseEvent) => {
    if ((e.target as HTMLElement).closest("a") || getSelection()?.toString()) return;
    go(jobPath(job.id));
  };
  return (
    <div class={"row" + (active ? " active" : "")} role="row" id={"job-" + index} aria-rowindex={index + 2} aria-selected={active} onClick={open} data-job={job.id}>
      <span role="gridcell" class="c-status"><StatusDot status={job.status} stalled={job.stalled} /></span>
      <span role="gridcell" class="c-job">
        <Link to={jobPath(job.id)} class="name" title={job.id}>{job.name || job.id}</Link>
        {job.name && <span class="mono dim id">{job.id}</span>}
        {!narrow && labels.slice(0, 3).map(([k, v]) => <Label key={k} name={k} value={v} />)}
      </span>
      <span role="gridcell" class={"c-what" + (job.error ? " bad" : " dim")} title={what}>
        {job.progress !== undefined && !ended(job.status) && <progress value={job.progress} max={1} aria-label="progress" />}
        {oneLine(what, 160)}
      </span>
      <span role="gridcell" class="c-events num">{short(job.events)}</span>
      <span role="gridcell" class="c-tokens num">{tokens ? short(tokens) : ""}</span>
      <span role="gridcell" class="c-time num">{ended(job.status) ? duration(took) : clock(took)}</span>
      <span role="gridcell" class="c-created num dim" title={fullTime(job.created_at)}>{ago(job.created_at, now)}</span>
    </div>
  );
}
