import { useEffect, useRef, useState } from "preact/hooks";
import { get, jobAPI } from "../api";
import { whileVisible } from "../feed";
import { count } from "../format";
import { useBump } from "../hooks";
import { Empty, Failure } from "../parts";
import { route, setQuery } from "../router";
import { ended, type Job, type Stuck } from "../types";
import { loadAlerts, type Alert } from "../pages/alertdata";
import { Events } from "./events";
import { Facts } from "./facts";
import { Head } from "./head";
import { load, most, whyGone, type Notices } from "./load";
import { Log } from "./log";
import { Found } from "./found";
import { Text } from "./text";
import { Timeline } from "./timeline";

/** useJob keeps a job's summary, and why it does not move, up to date with its log. */
function useJob(id: string, log: Log) {
  const [job, setJob] = useState<Job | undefined>();
  const [stuck, setStuck] = useState<Stuck | undefined>();
  const [alerts, setAlerts] = useState<Alert[]>([]);
  const [error, setError] = useState("");
  const ask = useRef<() => Promise<Job | undefined>>(async () => undefined);

  useEffect(() => {
    const stop = new AbortController();
    let current: Job | undefined;
    let timer = 0;
    let asked = 0;
    let hasAlerts = true;
    ask.current = async () => {
      clearTimeout(timer);
      timer = 0;
      asked = Date.now();
      try {
        current = await get<Job>(jobAPI(id), stop.signal);
        setJob(current);
        setError("");
        if (hasAlerts) {
          const found = await loadAlerts(stop.signal, id);
          hasAlerts = !!found;
          setAlerts(found ?? []);
        }
        if (ended(current.status)) setStuck(undefined);
        else setStuck((await get<{ jobs: Stuck[] }>("v1/stuck?job=" + encodeURIComponent(id), stop.signal)).jobs[0]);
      } catch (e) {
        if (!stop.signal.aborted && !current) {
          setError(whyGone(e));
          timer = window.setTimeout(() => ask.current(), 3000); // a link may be there before its job
        }
      }
      return current;
    };
    const soon = () => (timer ||= window.setTimeout(() => ask.current(), Math.max(150, 1000 - (Date.now() - asked))));
    const unlisten = log.listen(soon);
    const slow = setInterval(() => current && !document.hidden && (!ended(current.status) || Date.now() - Date.parse(current.updated_at) < 300_000) && soon(), 4000);
    ask.current();
    return () => {
      stop.abort();
      unlisten();
      clearTimeout(timer);
      clearInterval(slow);
    };
  }, [id]);
  return { job, stuck, alerts, error, ask };
}

/** JobPage shows one job while it happens. */
export function JobPage({ id }: { id: string }) {
  const [log] = useState(() => new Log());
  const bump = useBump();
  const { job, stuck, alerts, error, ask } = useJob(id, log);
  const [notices, setNotices] = useState<Notices>({});
  const [all, setAll] = useState(false);
  const loaded = !!job;
  useEffect(() => {
    document.title = `${job?.name || id} · ${job?.status ?? "job"} · Tidings`;
  }, [job?.name, job?.status]);
  useEffect(() => log.listen(bump), []);
  useEffect(() => {
    if (!job) return;
    log.reset();
    return whileVisible(async (signal) => {
      try {
        await load(job, log, all, (n) => setNotices((old) => ({ ...old, ...n })), signal);
        ask.current();
      } catch (e) {
        if (!signal.aborted) setNotices((old) => ({ ...old, gone: whyGone(e) }));
      }
    });
  }, [loaded, all]);

  if (error) return <div class="page"><Failure error={error} retry={() => ask.current()} /></div>;
  if (!job) return <div class="page"><Empty>Loading…</Empty></div>;
  return (
    <div class="page job" data-version={log.version} data-rows={log.rows.length}>
      <Head job={job} stuck={stuck} stalled={notices.stalled} log={log} version={log.version} changed={() => ask.current()} />
      {notices.gone && <Failure error={notices.gone} />}
      {log.missing === "trimmed" && <p class="notice">Retention has removed the start of this log; what is left is shown.</p>}
      {log.missing === "too many" && (
        <p class="notice">
          Of {count(job.events)} events the newest are shown; more than {count(most)} are heavy for a browser.{" "}
          <button class="small" onClick={() => { log.missing = ""; setAll(true); }}>Load all of them</button>
        </p>
      )}
      <Found alerts={alerts} />
      <Timeline log={log} version={log.version} job={job} stuck={stuck} alerts={alerts} />
      <Lower log={log} version={log.version} job={job} />
    </div>
  );
}

const tabs = { events: "Events", text: "Text", facts: "Details" } as const;
type Tab = keyof typeof tabs;

/** The log is changed in place, so its version goes along: props that stay the same show nothing again. */
function Lower({ log, version, job }: { log: Log; version: number; job: Job }) {
  const asked = route.value.query.get("tab") as Tab | null;
  const tab: Tab = asked && asked in tabs ? asked : "events";
  const keys = Object.keys(tabs) as Tab[];
  const key = (e: KeyboardEvent) => {
    const step = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const to = keys[(keys.indexOf(tab) + step + keys.length) % keys.length]!;
    setQuery({ tab: to === "events" ? "" : to });
    document.getElementById("tab-" + to)?.focus();
  };
  return (
    <section class="lower">
      <div class="tabs" role="tablist" aria-label="Views of the job" onKeyDown={key}>
        {keys.map((t) => (
          <button key={t} id={"tab-" + t} role="tab" aria-selected={t === tab} aria-controls="tabpanel" tabIndex={t === tab ? 0 : -1}
            onClick={() => setQuery({ tab: t === "events" ? "" : t })}>
            {tabs[t]}
            {t === "events" && <span class="dim"> {count(log.length)}</span>}
            {t === "text" && log.messages.list.length > 0 && <span class="dim"> {count(log.messages.list.length)}</span>}
          </button>
        ))}
      </div>
      <div id="tabpanel" role="tabpanel" aria-labelledby={"tab-" + tab} class="tabpanel">
        {tab === "events" ? <Events log={log} version={version} job={job} /> : tab === "text" ? <Text log={log} version={version} /> : <Facts job={job} />}
      </div>
    </section>
  );
}
