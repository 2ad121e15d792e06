// Package celery connects Celery (https://docs.celeryq.dev) with Tidings, with
// no change to the Celery application: what its workers say of tasks becomes
// task_* events in the logs of jobs, jobs are put on its queues as tasks, and
// requests to stop reach its workers.
//
// [Start] begins a [Bridge] over a broker, which is a [tidings.TaskQueue]. Start one on every
// server node: see [Bridge] for how they share the work.
package celery
