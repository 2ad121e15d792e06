"""The Celery app of the tests: what a worker and its callers import."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from celery import Celery

import tidings
import tidings.celery

app = Celery("celery_app", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    task_default_retry_delay=0,
    worker_hijack_root_logger=False,
)

if os.environ.get("TIDINGS_REDIS"):
    from tidings.redis import RedisStreamPublisher

    publisher: tidings.Publisher = RedisStreamPublisher(os.environ["TIDINGS_REDIS"], cancel_poll=0.05)
else:
    publisher = tidings.HTTPPublisher(cancel_poll=0.05)

tidings.celery.setup(app, publisher, job_id=os.environ.get("JOB_RULE", "task_id"))


def tell(n: int) -> None:
    job_id = tidings.celery.current_job_id()
    assert job_id is not None
    publisher.emit(job_id, "custom", json.dumps({"name": "n", "value": n}))


@app.task
def ok(n: int, pause: float = 0.0, **_: Any) -> dict[str, int]:
    for k in range(n):
        tell(k)
        time.sleep(pause)
    return {"told": n}


@app.task
def fails() -> None:
    tell(0)
    raise ValueError("no such luck")


@app.task(bind=True, max_retries=2)
def flaky(self: Any) -> str:
    tell(self.request.retries)
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"), countdown=0)
    return "at last"


@app.task(bind=True, max_retries=1)
def agent(self: Any) -> str:
    """An agent whose handler ends the job, in an attempt that is not the last."""
    with tidings.Handler(tidings.celery.current_job_id() or "", publisher, name="agent") as job:
        try:
            with job.phase("plan"):
                if self.request.retries == 0:
                    raise OSError("model away")
        except OSError as error:
            job.end(error=error)
            raise self.retry(exc=error, countdown=0) from error
        job.end(output="planned")
    return "planned"


@app.task(base=tidings.celery.TidingsTask, bind=True)
def polite(self: Any) -> str:
    """Runs until it is asked to stop."""
    self.progress(0.5, "half way")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if self.cancelled:
            return f"stopped by {self.job.stop_request.by}"
        time.sleep(0.01)
    return "never asked"


@app.task
def sleeps() -> None:
    tell(0)
    publisher.flush(30)
    time.sleep(60)


@app.task(time_limit=1)
def too_long() -> None:
    time.sleep(60)


@app.task
def dies() -> None:
    tell(0)
    publisher.flush(30)
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(acks_late=True, reject_on_worker_lost=True)
def dies_once() -> str:
    """Killed the first time; the broker delivers it again."""
    with app.backend.client.pipeline() as pipe:
        first = pipe.incr("tidings-test-" + (tidings.celery.current_job_id() or "")).execute() == [1]
    tell(0 if first else 1)
    publisher.flush(30)
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    return "at last"
