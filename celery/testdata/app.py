"""A Celery application that knows nothing of Tidings, for the tests."""

import os
import signal
import time

from celery import Celery
from celery.exceptions import Ignore, Reject

app = Celery("app", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND") or os.environ["BROKER"])
app.conf.update(
    task_track_started=bool(os.environ.get("TRACK_STARTED")),
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": int(os.environ.get("VISIBILITY", "3600"))},
)


@app.task
def add(x, y, job_id=None):
    return {"sum": x + y}


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def flaky(self, times):
    if self.request.retries < times:
        raise self.retry(exc=RuntimeError("again"), countdown=0.1)
    return self.request.retries


@app.task
def sleep(seconds):
    time.sleep(seconds)
    return "slept"


@app.task(acks_late=True)
def sleep_late(seconds):
    time.sleep(seconds)
    return "slept"


@app.task
def sleep_fails(seconds):
    time.sleep(seconds)
    raise ValueError("overslept")


@app.task(time_limit=1)
def limited():
    time.sleep(60)


@app.task(bind=True)
def progress(self, steps):
    for i in range(steps):
        self.update_state(state="PROGRESS", meta={"current": i + 1, "total": steps, "message": f"step {i + 1}"})
        time.sleep(0.05)
    return "all"


@app.task(bind=True)
def custom(self):
    self.send_event("task-milestone", at="half", job="mine")
    return "said"


@app.task
def ignored():
    raise Ignore()


@app.task(acks_late=True)
def rejected():
    raise Reject("no", requeue=False)


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def die_once(self, marker):
    """Its process is killed the first time; the message is delivered again."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@app.task
def die():
    os.kill(os.getpid(), signal.SIGKILL)
