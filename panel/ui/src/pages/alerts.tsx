import { useRef, useState } from "preact/hooks";
import { change, get, says } from "../api";
import { readOnly } from "../base";
import { firing as firingCount, useFeed } from "../feed";
import { ago, duration, fullTime } from "../format";
import { useLoad, useNow } from "../hooks";
import { Empty, Failure, Label, StatusDot } from "../parts";
import { jobPath, Link, route, setQuery } from "../router";
import { orNone, pressing, suppressed, type Alert, type RulesFile } from "./alertdata";

const views = ["firing", "history", "rules", "silences", "notifications"] as const;
type View = (typeof views)[number];

interface Transition {
  at: string;
  from?: string;
  alert: Alert;
}

interface Rule {
  name: string;
  built_in: boolean;
  disabled?: boolean;
  detector?: string;
  help?: string;
  expr?: string;
  by?: string;
  window_ms?: number;
  with?: Record<string, unknown>;
  for_ms: number;
  keep_firing_for_ms: number;
  severity: string;
  health: "ok" | "no_data" | "error";
  error?: string;
  pending: number;
  firing: number;
  over?: number;
}

interface Silence {
  id: string;
  matchers: string[];
  state: "pending" | "active" | "expired";
  starts_at: string;
  ends_at: string;
  created_by: string;
  comment: string;
}

interface Notice {
  id: string;
  receiver: string;
  reason: string;
  group_labels: Record<string, string>;
  alerts: number;
  summary?: string;
  created_at: string;
  attempts: number;
  next_at?: string;
  done_at?: string;
  error?: string;
}

type Notices = Record<"outbox" | "dead" | "sent", Notice[]>;

/** Alerts are what the rules found, and whom it is told. */
export function Alerts() {
  const asked = route.value.query.get("view") as View | null;
  const view: View = asked && views.includes(asked) ? asked : "firing";
  const changed = useRef(() => {});
  useFeed(() => view === "firing" && changed.current(), 2000);
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
      {view === "firing" && <Firing changed={changed} />}
      {view === "history" && <History />}
      {view === "rules" && <Rules />}
      {view === "silences" && <Silences />}
      {view === "notifications" && <Notifications />}
    </div>
  );
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

function Firing({ changed }: { changed: { current: () => void } }) {
  const { value, error, reload } = useLoad(async (signal) => {
    const answer = await orNone(get<{ alerts: Alert[]; file?: RulesFile }>("v1/alerts", signal));
    firingCount.value = pressing(answer?.alerts).length;
    return { none: !answer, list: answer?.alerts ?? [], file: answer?.file };
  }, [], 3000);
  changed.current = reload;
  const [silencing, setSilencing] = useState<Alert | undefined>();
  const list = value?.list.filter((a) => a.rule !== "watchdog") ?? [];
  const sorted = [...list].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state) || Number(suppressed(a)) - Number(suppressed(b)) || Date.parse(b.since) - Date.parse(a.since));
  const watchdog = value?.list.find((a) => a.rule === "watchdog");
  return (
    <>
      <Failure error={error} retry={reload} />
      {value?.none && <None />}
      {value?.file?.error && <p class="failure">The rules file can't be used, so the rules before it go on: {value.file.error}</p>}
      {value && !value.none && sorted.length === 0 && <Empty>Nothing fires.{watchdog ? " The watchdog does, as it always should." : ""}</Empty>}
      {silencing && <SilenceForm alert={silencing} done={() => { setSilencing(undefined); reload(); }} />}
      {sorted.length > 0 && (
        <div class="card stack">
          {sorted.map((a) => <Row key={a.id} alert={a} silence={readOnly || a.state === "resolved" ? undefined : () => setSilencing(a)} />)}
        </div>
      )}
    </>
  );
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
  const { severity: _, ...own } = alert.labels ?? {};
  const labels = wide ? { alertname: alert.rule } : { ...own, alertname: alert.rule };
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
      {value && !value.none && <div class="card stack">{value.list.map((r) => <RuleRow key={r.name} rule={r} />)}</div>}
    </>
  );
}

function RuleRow({ rule: r }: { rule: Rule }) {
  const counts = [r.firing ? `${r.firing} firing` : "", r.pending ? `${r.pending} pending` : "", r.over ? `${r.over} more` : ""].filter(Boolean).join(" · ");
  const settings = Object.entries(r.with ?? {}).map(([k, v]) => `${k} ${Array.isArray(v) ? v.join(" ") : v}`).join(" · ");
  return (
    <article class="alert" data-rule={r.name}>
      <div class="alert-text">
        <span class="error-title">
          <b class={r.disabled ? "dim" : ""}>{r.name}</b>
          {r.severity && <StatusDot status={r.severity} />}
          {r.disabled && <span class="tag">off</span>}
          {!r.built_in && <span class="tag">from the file</span>}
          {r.health === "no_data" && <span class="tag">no data</span>}
        </span>
        {r.help && <span class="dim">{r.help}</span>}
        {r.expr && <code>{r.expr}{r.by && r.by !== "all" ? ` by ${r.by}` : ""}</code>}
        {settings && <span class="dim small-text">{settings}</span>}
        {r.error && <span class="bad">{r.error}</span>}
      </div>
      <span class="grow" />
      <span class={"num " + (r.firing ? "bad" : "dim")}>{counts || (r.for_ms ? "after " + duration(r.for_ms) : "")}</span>
    </article>
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
            const over = s.state === "expired" || Date.parse(s.ends_at) <= now;
            return (
              <article class="alert" key={s.id}>
                <StatusDot status={over ? "resolved" : "ignored"} />
                <div class="alert-text">
                  <code>{s.matchers.join(", ")}</code>
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

function Notifications() {
  const { value, error, reload } = useLoad((signal) => orNone(get<Notices>("v1/alerts/notifications", signal)).then((v) => ({ v })), [], 5000);
  const n = value?.v;
  const empty = n && n.outbox.length + n.dead.length + n.sent.length === 0;
  return (
    <>
      <Failure error={error} retry={reload} />
      {value && !n && <None />}
      {empty && <Empty>Nobody was told of anything yet. Receivers stand in the rules file.</Empty>}
      {n && <NoticeList title="Given up" status="failed" list={n.dead} />}
      {n && <NoticeList title="Waiting" status="pending" list={n.outbox} />}
      {n && <NoticeList title="Sent" status="completed" list={n.sent} />}
    </>
  );
}

function NoticeList({ title, status, list }: { title: string; status: string; list: Notice[] }) {
  const now = useNow(5000);
  if (list.length === 0) return null;
  return (
    <section class="card stack" aria-label={title}>
      <h2 class="stack-title">{title} <span class="dim">{list.length}</span></h2>
      {list.map((n) => (
        <article class="alert" key={n.id + n.receiver} data-notice={status}>
          <StatusDot status={status} />
          <div class="alert-text">
            <span class="error-title"><b>{n.receiver}</b> <span>{n.reason}</span> <span class="dim">{n.alerts} {n.alerts === 1 ? "alert" : "alerts"}</span></span>
            {n.summary && <span>{n.summary}</span>}
            {n.error && <span class="bad">{n.error}</span>}
            <span class="mono dim small-text">{n.id}</span>
          </div>
          <span class="grow" />
          <span class="dim num">
            {[n.attempts > 1 && `${n.attempts} tries`, n.next_at && Date.parse(n.next_at) > now && `again in ${duration(Date.parse(n.next_at) - now)}`, ago(n.done_at ?? n.created_at, now)].filter(Boolean).join(" · ")}
          </span>
        </article>
      ))}
    </section>
  );
}
