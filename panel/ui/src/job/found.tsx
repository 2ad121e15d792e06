import { ago } from "../format";
import { useNow } from "../hooks";
import { StatusDot } from "../parts";
import type { Alert } from "../pages/alertdata";
import { setQuery } from "../router";

/** Found are the alerts of the job; each leads to where it was found. */
export function Found({ alerts }: { alerts: Alert[] }) {
  const now = useNow(5000);
  if (alerts.length === 0) return null;
  return (
    <ul class="found" aria-label="Alerts of this job">
      {alerts.map((a) => (
        <li key={a.id} data-alert={a.rule} data-state={a.state}>
          <StatusDot status={a.state === "resolved" ? "resolved" : a.severity} />
          <b>{a.rule}</b>
          <span class="cut" title={a.summary}>{a.summary}</span>
          {a.event_id && <button class="small" onClick={() => setQuery({ event: a.event_id, tab: "", type: "", find: "" })}>Show</button>}
          <span class="grow" />
          <span class="dim num">{a.state} · {ago(a.resolved_at ?? a.since, now)}</span>
        </li>
      ))}
    </ul>
  );
}
