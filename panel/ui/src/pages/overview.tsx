import { get, Problem } from "../api";
import { Chart, type Line } from "../chart";
import { firing, useFeed } from "../feed";
import { ago, count, duration, percent, short } from "../format";
import { useLoad, useNow } from "../hooks";
import { Empty, Failure, StatusDot } from "../parts";
import { jobPath, Link, route, setQuery } from "../router";
import type { QueueDepth, Series, Stats, Stuck, Worker } from "../types";
import { loadAlerts, pressing, type Alert } from "./alertdata";

const windows: Record<string, { text: string; minutes: number }> = {
  "15m": { text: "15 min", minutes: 15 }, "1h": { text: "1 h", minutes: 60 }, "3h": { text: "3 h", minutes: 180 },
  "24h": { text: "24 h", minutes: 1440 }, "168h": { text: "7 d", minutes: 10080 },
};

const metrics = ["created", "completed", "failed", "error_rate", "duration_p50", "duration_p95", "input_tokens", "output_tokens"];

interface All {
  stats?: Stats;
  series?: Series;
  stuck: Stuck[];
  workers: Worker[];
  queues: QueueDepth[];
  alerts?: Alert[];
  why: string; // there are no statistics
}

async function loadAll(window: string, signal: AbortSignal): Promise<All> {
  const minutes = windows[window]!.minutes;
  const from = new Date(Math.floor(Date.now() / 60_000 - minutes + 1) * 60_000).toISOString();
  const optional = <T,>(path: string) => get<T>(path, signal).catch((e) => refusedOnly<T>(e));
  const [stats, series, stuck, workers, queues, alerts] = await Promise.all([
    optional<Stats>(`v1/stats?window=${window}&by=name`),
    optional<Series>(`v1/stats/series?metric=${metrics.join(",")}&from=${encodeURIComponent(from)}`),
    optional<{ jobs: Stuck[] }>("v1/stuck?limit=50"),
    optional<{ workers: Worker[] }>("v1/workers"),
    optional<{ queues: QueueDepth[] }>("v1/queues"),
    loadAlerts(signal).catch(() => undefined),
  ]);
  firing.value = pressing(alerts).length;
  return {
    stats: value(stats), series: value(series), alerts,
    stuck: (value(stuck)?.jobs ?? []).filter((j) => j.stalled || j.overdue),
    workers: value(workers)?.workers ?? [], queues: value(queues)?.queues ?? [],
    why: stats instanceof Problem ? stats.message : "",
  };
}

/** refusedOnly keeps what the server does not have or does not show to this caller from failing the page. */
function refusedOnly<T>(error: unknown): Problem | T {
  if (error instanceof Problem && (error.status === 404 || error.status === 403 || error.status === 503)) return error;
  throw error;
}

function value<T>(v: T | Problem): T | undefined {
  return v instanceof Problem ? undefined : v;
}

/** Overview is how all jobs do. */
export function Overview() {
  const asked = route.value.query.get("window") ?? "1h";
  const window = asked in windows ? asked : "1h";
  const { value: all, error, reload } = useLoad((signal) => loadAll(window, signal), [window], 5000);
  useFeed(() => reload(), 2000);
  return (
    <div class="page scrolls" tabIndex={-1}>
      <div class="bar">
        <h1>Overview</h1>
        <span class="grow" />
        <div class="segments" role="group" aria-label="Time">
          {Object.entries(windows).map(([w, { text }]) => (
            <button key={w} class="small" aria-pressed={w === window} onClick={() => setQuery({ window: w === "1h" ? "" : w })}>{text}</button>
          ))}
        </div>
      </div>
      <Failure error={error} retry={reload} />
      {!all ? !error && <Empty>Loading…</Empty> : (
        <>
          {all.stats ? <Numbers stats={all.stats} /> : <p class="notice">{all.why}</p>}
          <Firing alerts={all.alerts} />
          <StuckList jobs={all.stuck} />
          {all.series && <Charts series={all.series} />}
          <div class="columns">
            {all.stats && <ByName stats={all.stats} />}
            <Workers workers={all.workers} queues={all.queues} />
          </div>
        </>
      )}
    </div>
  );
}

function Numbers({ stats }: { stats: Stats }) {
  const j = stats.jobs;
  const w = stats.window;
  return (
    <>
      <ul class="tiles" aria-label="Jobs that go on">
        <Tile status="queued" n={j.queued} note={j.queued && j.oldest_queued_ms ? `oldest ${duration(j.oldest_queued_ms)}` : ""} />
        <Tile status="running" n={j.running} />
        <Tile status="waiting" n={j.waiting} note="for input" />
        <Tile status="cancelling" n={j.cancelling} />
        <Tile status="stalled" n={j.stalled} note={j.overdue ? `${j.overdue} overdue` : ""} bad />
      </ul>
      <dl class="figures card strip" aria-label="In this time">
        <Figure k="Started" v={count(w.started)} />
        <Figure k="Completed" v={count(w.completed)} />
        <Figure k="Failed" v={count(w.failed)} bad={w.failed > 0} />
        <Figure k="Cancelled" v={count(w.cancelled)} />
        <Figure k="Jobs a minute" v={w.job_rate ? short(Math.round(w.job_rate * 100) / 100) : "0"} />
        <Figure k="Error rate" v={percent(w.error_rate)} bad={(w.error_rate ?? 0) > 0.05} />
        <Figure k="Duration p50" v={duration(w.duration_ms.p50)} />
        <Figure k="p95" v={duration(w.duration_ms.p95)} />
        <Figure k="Tool errors" v={percent(w.tool.error_rate)} bad={(w.tool.error_rate ?? 0) > 0.2} />
        <Figure k="Tokens" v={short(w.tokens.input_tokens + w.tokens.output_tokens)} />
        {Object.entries(w.cost ?? {}).map(([c, v]) => <Figure key={c} k="Cost" v={`${v.toFixed(2)} ${c}`} />)}
        <Figure k="Events a second" v={short(w.event_rate)} />
      </dl>
    </>
  );
}

function Tile({ status, n, note, bad }: { status: string; n: number; note?: string; bad?: boolean }) {
  const query = status === "stalled" ? { stalled: "true" } : { status };
  return (
    <li class={"card tile" + (bad && n > 0 ? " bad" : "")} data-tile={status}>
      <Link to="jobs" query={query}>
        <StatusDot status={status} stalled={status === "stalled"} />
        <b class="num">{count(n)}</b>
        <span class="dim">{note}</span>
      </Link>
    </li>
  );
}

function Figure({ k, v, bad }: { k: string; v: string; bad?: boolean }) {
  return (
    <div>
      <dt>{k}</dt>
      <dd class={bad ? "bad" : ""}>{v}</dd>
    </div>
  );
}

function Firing({ alerts }: { alerts?: Alert[] }) {
  const now = useNow(5000);
  const firing = pressing(alerts);
  if (firing.length === 0) return null;
  return (
    <section class="card list" aria-label="Firing alerts">
      <h2>Firing alerts</h2>
      {firing.slice(0, 6).map((a) => (
        <div class="item" key={a.id}>
          <StatusDot status={a.severity} />
          <b>{a.rule}</b>
          <span class="cut">{a.job_id ? <Link to={jobPath(a.job_id)} query={{ event: a.event_id }}>{a.summary}</Link> : a.summary}</span>
          <span class="grow" />
          <span class="dim num">{ago(a.since, now)}</span>
        </div>
      ))}
      {firing.length > 6 && <Link to="alerts" class="more">{firing.length - 6} more</Link>}
    </section>
  );
}

function StuckList({ jobs }: { jobs: Stuck[] }) {
  if (jobs.length === 0) return null;
  return (
    <section class="card list" aria-label="Why is it stuck?">
      <h2>Why is it stuck?</h2>
      {jobs.slice(0, 5).map((j) => (
        <div class="item" key={j.job_id}>
          <StatusDot status={j.status} stalled={j.stalled} />
          <Link to={jobPath(j.job_id)} class="strong">{j.name || j.job_id}</Link>
          <span class="cut dim" title={j.says}>{j.says}</span>
        </div>
      ))}
      {jobs.length > 5 && <Link to="jobs" query={{ stalled: "true" }} class="more">{jobs.length - 5} more</Link>}
    </section>
  );
}

function Charts({ series }: { series: Series }) {
  const line = (metric: string, label: string, color: string, fill = false): Line => ({
    label, color, fill, values: series.lines.find((l) => l.metric === metric)?.values ?? series.times.map(() => null),
  });
  const step = series.step_ms < 90_000 ? "a minute" : "each " + duration(series.step_ms).replace(" 0 s", "").replace(" 0 min", "");
  return (
    <div class="charts">
      <Chart title={`Jobs ${step}`} times={series.times} show={short}
        lines={[line("created", "created", "--grey"), line("completed", "completed", "--green", true), line("failed", "failed", "--red")]} />
      <Chart title="Error rate" times={series.times} show={percent} lines={[line("error_rate", "failed of ended", "--red", true)]} />
      <Chart title="Duration" times={series.times} show={duration} lines={[line("duration_p50", "p50", "--blue"), line("duration_p95", "p95", "--violet")]} />
      <Chart title={`Tokens ${step}`} times={series.times} show={short} lines={[line("input_tokens", "in", "--teal", true), line("output_tokens", "out", "--amber")]} />
    </div>
  );
}

function ByName({ stats }: { stats: Stats }) {
  const rows = stats.by ?? [];
  if (rows.length === 0) return null;
  return (
    <section class="card list" aria-label="By name">
      <h2>By name</h2>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Jobs by name">
        <table>
          <thead>
            <tr>{["Name", "Running", "Ended", "Errors", "p50", "p95", "Tokens"].map((h) => <th key={h} scope="col">{h}</th>)}</tr>
          </thead>
          <tbody>
            {rows.slice(0, 20).map(({ value, jobs, window: w }) => (
              <tr key={value}>
                <th scope="row"><Link to="jobs" query={{ name: value }}>{value || "(no name)"}</Link></th>
                <td>{jobs?.running ?? 0}</td>
                <td>{count(w.completed + w.failed + w.cancelled)}</td>
                <td class={(w.error_rate ?? 0) > 0.05 ? "bad" : ""}>{percent(w.error_rate)}</td>
                <td>{duration(w.duration_ms.p50)}</td>
                <td>{duration(w.duration_ms.p95)}</td>
                <td>{short(w.tokens.input_tokens + w.tokens.output_tokens)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Workers({ workers, queues }: { workers: Worker[]; queues: QueueDepth[] }) {
  const now = useNow(5000);
  if (workers.length + queues.length === 0) return null;
  return (
    <section class="card list" aria-label="Workers and queues">
      <h2>Workers <span class="dim">{workers.filter((w) => w.alive).length} of {workers.length} alive</span></h2>
      {workers.map((w) => (
        <div class="item" key={w.type + w.name}>
          <StatusDot status={w.alive ? "running" : "failed"} stalled={false} />
          <b class="mono cut">{w.name}</b>
          <span class="grow" />
          <span class="dim num">{w.alive ? `${w.active}${w.concurrency ? " of " + w.concurrency : ""} active · ${count(w.processed)} done` : `lost ${ago(w.lost_at ?? w.seen_at, now)}`}</span>
        </div>
      ))}
      {queues.length > 0 && <h2>Queues</h2>}
      {queues.map((q) => (
        <div class="item" key={q.type + q.name}>
          <b class="mono cut">{q.name}</b>
          <span class="grow" />
          <span class="dim num">{count(q.waiting)} waiting · {count(q.unacked)} taken</span>
        </div>
      ))}
    </section>
  );
}
