import { useState } from "preact/hooks";
import { change, get, Problem, says } from "../api";
import { readOnly } from "../base";
import { firing as firingCount, useFeed } from "../feed";
import { ago, duration, fullTime, short } from "../format";
import { useLoad, useNow } from "../hooks";
import { Empty, Failure, Label, StatusDot } from "../parts";
import { jobPath, Link, route, setQuery } from "../router";
import { loadAlerts, type Alert } from "./alertdata";

const views = ["firing", "history", "rules", "silences", "notifications"] as const;
type View = (typeof views)[number];

interface Transition {
  at: string;
  from?: string;
  alert: Alert;
}

interface Rule {
  name: string;
  severity?: string;
  kind?: string;
  expr?: string;
  for_ms?: number;
  for?: string;
  summary?: string;
  description?: string;
  state?: string;
  error?: string;
  disabled?: boolean;
  enabled?: boolean;
  firing?: number;
  pending?: number;
}

interface Silence {
  id: string;
  matchers: unknown;
  starts_at: string;
  ends_at: string;
  created_by: string;
  comment: string;
}

interface Notification {
  id: string;
  at?: string;
  created_at?: string;
  receiver?: string;
  notifier?: string;
  state?: string;
  status?: string;
  tries?: number;
  attempts?: number;
  error?: string;
  summary?: string;
}

/** Alerts are what the rules found, and whom it is told. */
export function Alerts() {
  const asked = route.value.query.get("view") as View | null;
  const view: View = asked && views.includes(asked) ? asked : "firing";
  return (
    <div class="page scrolls" tabIndex={-1}>
      <div class="bar wrap">
        <h1>Alerts</h1>
        <span class="grow" />
        <div class="segments" role="group" aria-label="View">
          {views.map((v) => (
            <button key={v} class="small" aria-pressed={v === view} onClick={() => setQuery({ view: v === "firing" ? "" : v })}>{v}</button>
          ))}
        </div>
      </div>
      {view === "firing" && <Firing />}
      {view === "history" && <History />}
      {view === "rules" && <Rules />}
      {view === "silences" && <Silences />}
      {view === "notifications" && <Notifications />}
    </div>
  );
}

/** orNone gives undefined where the server has no alerts. */
async function orNone<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return undefined;
    throw error;
  }
}

/** useList loads the list under the member's name. None: the server has no alerts. */
function useList<T>(path: string, member: string) {
  return useLoad(async (signal) => {
    const answer = await orNone(get<Record<string, T[]>>(path, signal));
    return { none: !answer, list: answer?.[member] ?? [] };
  }, [path], 5000);
}

function None() {
  return <Empty>This server has no alerts.</Empty>;
}

const order = ["firing", "pending", "resolved"];

function Firing() {
  const { value, error, reload } = useLoad(async (signal) => {
    const list = await orNone(loadAlerts(signal));
    firingCount.value = list?.filter((a) => a.state === "firing" && !quiet(a)).length ?? 0;
    return { none: !list, list: list ?? [] };
  }, [], 4000);
  useFeed(() => reload(), 2000);
  const [silencing, setSilencing] = useState<Alert | undefined>();
  const sorted = [...(value?.list ?? [])].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || Date.parse(b.since) - Date.parse(a.since));
  return (
    <>
      <Failure error={error} retry={reload} />
      {value?.none && <None />}
      {value && !value.none && sorted.length === 0 && <Empty>Nothing fires.</Empty>}
      {silencing && <SilenceForm alert={silencing} done={() => { setSilencing(undefined); reload(); }} />}
      {sorted.length > 0 && (
        <div class="card stack">
          {sorted.map((a) => <Row key={a.id} alert={a} silence={readOnly || a.state === "resolved" ? undefined : () => setSilencing(a)} />)}
        </div>
      )}
    </>
  );
}

function quiet(a: Alert): boolean {
  return (a.silenced_by?.length ?? 0) + (a.inhibited_by?.length ?? 0) > 0;
}

function Row({ alert: a, silence, at }: { alert: Alert; silence?: () => void; at?: string }) {
  const now = useNow(5000);
  return (
    <article class="alert" data-alert={a.rule} data-state={a.state}>
      <StatusDot status={a.state} />
      <div class="alert-text">
        <span class="error-title">
          <b>{a.rule}</b>
          <StatusDot status={a.severity} />
          {(a.silenced_by?.length ?? 0) > 0 && <span class="tag">silenced</span>}
          {(a.inhibited_by?.length ?? 0) > 0 && <span class="tag">covered by another</span>}
        </span>
        <span>{a.summary}</span>
        <span class="facts">
          {a.job_id && <Link to={jobPath(a.job_id)} query={{ event: a.event_id }} class="mono more">{a.job_id}</Link>}
          {Object.entries(a.labels ?? {}).filter(([k]) => !["alertname", "severity", "job_id"].includes(k)).map(([k, v]) => <Label key={k} name={k} value={v} />)}
        </span>
      </div>
      <span class="grow" />
      {a.value !== undefined && <span class="num dim">{short(a.value)}</span>}
      <span class="dim num" title={fullTime(at ?? a.since)}>{ago(at ?? a.since, now)}</span>
      {silence && <button class="small" onClick={silence}>Silence</button>}
    </article>
  );
}

const spans: Record<string, number> = { "1 h": 1, "4 h": 4, "1 day": 24, "1 week": 168 };

/** SilenceForm asks for how long nobody is to be told, and why. */
function SilenceForm({ alert, done }: { alert: Alert; done: () => void }) {
  const [hours, setHours] = useState(4);
  const [comment, setComment] = useState("");
  const [wide, setWide] = useState(false);
  const [error, setError] = useState("");
  const labels = { alertname: alert.rule, ...(wide ? {} : alert.labels), ...(wide || !alert.job_id ? {} : { job_id: alert.job_id }) };
  const submit = async (e: Event) => {
    e.preventDefault();
    try {
      await change("POST", "v1/alerts/silences", {
        matchers: Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`),
        duration_ms: hours * 3_600_000, comment,
      });
      done();
    } catch (e) {
      setError(says(e));
    }
  };
  return (
    <form class="card silence" onSubmit={submit} aria-label="Silence an alert">
      <h2>Silence {alert.rule}</h2>
      <div class="facts">{Object.entries(labels).map(([k, v]) => <Label key={k} name={k} value={v} />)}</div>
      <div class="filters">
        <label class="field"><span>For</span>
          <select value={String(hours)} onChange={(e) => setHours(Number(e.currentTarget.value))}>
            {Object.entries(spans).map(([k, v]) => <option key={k} value={String(v)}>{k}</option>)}
          </select>
        </label>
        <label class="field wide"><span>Why</span><input name="comment" value={comment} onInput={(e) => setComment(e.currentTarget.value)} /></label>
        <label class="check"><input type="checkbox" checked={wide} onChange={(e) => setWide(e.currentTarget.checked)} /> the whole rule</label>
        <span class="grow" />
        <button type="button" class="small" onClick={done}>Leave it</button>
        <button type="submit" class="small primary">Silence</button>
      </div>
      <Failure error={error} />
    </form>
  );
}

function History() {
  const { value, error, reload } = useList<Transition>("v1/alerts/history?limit=200", "history");
  return (
    <>
      <Failure error={error} retry={reload} />
      {value?.none && <None />}
      {value && !value.none && value.list.length === 0 && <Empty>Nothing has fired yet.</Empty>}
      {value && value.list.length > 0 && <div class="card stack">{value.list.map((t) => <Row key={t.alert.id + t.at + t.alert.state} alert={t.alert} at={t.at} />)}</div>}
    </>
  );
}

function Rules() {
  const { value, error, reload } = useList<Rule>("v1/alerts/rules", "rules");
  return (
    <>
      <Failure error={error} retry={reload} />
      {value?.none && <None />}
      <div class="card stack">
        {value?.list.map((r) => (
          <article class="alert" key={r.name} data-rule={r.name}>
            <div class="alert-text">
              <span class="error-title">
                <b>{r.name}</b>
                {r.severity && <StatusDot status={r.severity} />}
                {(r.disabled || r.enabled === false) && <span class="tag">off</span>}
                {r.kind && <span class="tag">{r.kind}</span>}
              </span>
              {(r.summary ?? r.description) && <span class="dim">{r.summary ?? r.description}</span>}
              {r.expr && <code>{r.expr}</code>}
              {r.error && <span class="bad">{r.error}</span>}
            </div>
            <span class="grow" />
            <span class="dim num">{[r.firing ? `${r.firing} firing` : "", r.pending ? `${r.pending} pending` : "", r.for ?? (r.for_ms ? "for " + duration(r.for_ms) : ""), r.state].filter(Boolean).join(" · ")}</span>
          </article>
        ))}
      </div>
    </>
  );
}

function Silences() {
  const { value, error, reload } = useList<Silence>("v1/alerts/silences", "silences");
  const now = useNow(5000);
  const [failed, setFailed] = useState("");
  const end = async (id: string) => {
    try {
      await change("DELETE", "v1/alerts/silences/" + encodeURIComponent(id));
      setFailed("");
      reload();
    } catch (e) {
      setFailed(says(e));
    }
  };
  return (
    <>
      <Failure error={error || failed} retry={reload} />
      {value?.none && <None />}
      {value && !value.none && value.list.length === 0 && <Empty>No silences. Alerts offer one.</Empty>}
      {value && value.list.length > 0 && (
        <div class="card stack">
          {value.list.map((s) => {
            const over = Date.parse(s.ends_at) <= now;
            return (
              <article class="alert" key={s.id}>
                <StatusDot status={over ? "resolved" : "ignored"} />
                <div class="alert-text">
                  <code>{matchers(s.matchers)}</code>
                  <span class="dim">{[s.comment, s.created_by && "by " + s.created_by].filter(Boolean).join(" · ")}</span>
                </div>
                <span class="grow" />
                <span class="dim num">{over ? `ended ${ago(s.ends_at, now)}` : `for ${duration(Date.parse(s.ends_at) - now)} more`}</span>
                {!over && !readOnly && <button class="small" onClick={() => end(s.id)}>End it</button>}
              </article>
            );
          })}
        </div>
      )}
    </>
  );
}

function matchers(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  return value.map((m) => (m && typeof m === "object" ? `${m.name}${m.op ?? "="}${m.value}` : String(m))).join(", ");
}

function Notifications() {
  const { value, error, reload } = useList<Notification>("v1/alerts/notifications?limit=200", "notifications");
  const now = useNow(5000);
  return (
    <>
      <Failure error={error} retry={reload} />
      {value?.none && <None />}
      {value && !value.none && value.list.length === 0 && <Empty>Nobody was told of anything yet.</Empty>}
      {value && value.list.length > 0 && (
        <div class="card stack">
          {value.list.map((n) => (
            <article class="alert" key={n.id}>
              <StatusDot status={n.state ?? n.status ?? ""} />
              <div class="alert-text">
                <span class="error-title"><b>{n.receiver ?? n.notifier}</b> <span class="mono dim">{n.id}</span></span>
                {n.summary && <span>{n.summary}</span>}
                {n.error && <span class="bad">{n.error}</span>}
              </div>
              <span class="grow" />
              <span class="dim num">{[`${n.attempts ?? n.tries ?? 0} tries`, ago(n.at ?? n.created_at, now)].join(" · ")}</span>
            </article>
          ))}
        </div>
      )}
    </>
  );
}
