import { fullTime } from "../format";
import type { Job } from "../types";
import { JSONView } from "./jsonview";

/** Facts are what else the server knows of the job. */
export function Facts({ job }: { job: Job }) {
  const rows: [string, string | undefined][] = [
    ["ID", job.id],
    ["Name", job.name],
    ["Created", fullTime(job.created_at)],
    ["Last event", `${fullTime(job.updated_at)} (${job.last_type ?? "?"})`],
    ["Ended", job.ended_at && fullTime(job.ended_at)],
    ["Lease until", job.lease_until && fullTime(job.lease_until)],
    ["Task", job.task?.task],
    ["Queue", job.task?.queue],
    ["Worker", job.task?.worker],
    ["Attempt", job.task?.attempt ? String(job.task.attempt) : undefined],
    ["Asked to stop", job.cancel && [fullTime(job.cancel.at), job.cancel.by, job.cancel.reason].filter(Boolean).join(" · ")],
    ["Incarnation", job.incarnation],
    ["First and last ID", `${job.first_id} … ${job.last_id}`],
  ];
  return (
    <div class="scroll pad" tabIndex={0} role="region" aria-label="Details">
      <dl class="pairs">
        {rows.filter(([, v]) => v).map(([k, v]) => (
          <div key={k}>
            <dt>{k}</dt>
            <dd class="mono">{v}</dd>
          </div>
        ))}
      </dl>
      {job.metadata !== undefined && (
        <>
          <h2>Metadata</h2>
          <JSONView text={JSON.stringify(job.metadata)} />
        </>
      )}
    </div>
  );
}
