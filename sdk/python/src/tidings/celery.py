"""Celery tasks as jobs. Needs the extra `tidings[celery]`.

    app = Celery(...)
    tidings.celery.setup(app, tidings.HTTPPublisher("http://127.0.0.1:8080"))

From then on each task is a job: its ID is the task's, or what the `job_id` rule
says, and its life is told by `task_queued`, `task_started`, `task_retried`,
`task_completed` and `task_failed` in the job's log. Code in a task finds its job
by `current_job_id()` and `current_job()`; a handler of the same job and publisher
writes beside it, and its last word is put behind the task's, or held back if the
task will be tried again.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from json import dumps
from typing import Any, Final

from celery import Celery, Task, signals

from ._snapshot import cut_text, snapshot
from .publisher import JobPublisher, Publisher

log = logging.getLogger("tidings")

SOURCE: Final = "worker"
"""What stands as `source` in the data of each event that is told here, so that
what else listens to Celery does not tell it again."""

JobRule = str | Callable[[str, Mapping[str, Any], Mapping[str, Any]], str | None]
"""Which job a task is: `task_id`, `root_id`, `kwargs.<name>`, `header.<name>`, or a
function of the task's ID, keyword arguments and headers. Without a value it is the
task's ID; a function that gives None leaves the task out."""

_MAX_RESULT: Final = 64 << 10
_MAX_TRACEBACK: Final = 16 << 10
_MAX_ERROR: Final = 8 << 10

_current: ContextVar[_Running | None] = ContextVar("tidings_celery", default=None)


def current_job() -> JobPublisher | None:
    """Give the publisher of the job whose task this code runs in; None outside of one."""
    running = _current.get()
    return running.job if running is not None else None


def current_job_id() -> str | None:
    """Give the ID of the job whose task this code runs in; None outside of one."""
    running = _current.get()
    return running.job.job_id if running is not None else None


def setup(
    app: Celery,
    publisher: Publisher,
    *,
    job_id: JobRule = "task_id",
    heartbeat: float | None = 10.0,
    queued: bool = True,
    ends: bool | None = None,
    flush: float = 0.0,
    retry_flush: float = 5.0,
) -> Integration:
    """Tell of the tasks of an app. Call it once where the app is made, in what
    workers and callers import; processes that a worker forks are taken care of.

    `heartbeat` is the pause in seconds between signs of life of a running task.
    `queued` tells when this process sends a task. `ends` says whether the end of
    the task ends the job with `done` or a fatal `error`: by default only if no
    handler told of the job in it, since a handler does that itself or leaves the job
    open on purpose, when it waits for input; a task that was killed ends it in any
    case. Give False where several tasks share a job; `root_id` implies it. A revoked
    task is `cancelled`, which ends its job always. `flush` is how many seconds the end of a task
    waits until all is stored; by default it does not wait, and what is queued is
    sent while the next task runs, and when the worker process ends. `retry_flush` is
    how many seconds a retry waits for that before its message is sent, for the next
    attempt takes the job over: what this one has not sent by then is lost.
    """
    return Integration(app, publisher, job_id, heartbeat, queued, ends, flush, retry_flush)


class TidingsTask(Task):  # type: ignore[misc]
    """A base class for tasks that want to know their job: `app.task(base=TidingsTask)`,
    with `bind=True`. It works without `setup` too, where there is no job."""

    abstract = True

    @property
    def job(self) -> JobPublisher | None:
        """The publisher of the task's job."""
        return current_job()

    @property
    def job_id(self) -> str | None:
        """The ID of the task's job."""
        return current_job_id()

    @property
    def cancelled(self) -> bool:
        """Whether the job was asked to stop; cheap enough to poll in every loop."""
        job = current_job()
        return job is not None and job.cancelled.is_set()

    def progress(self, progress: float | None = None, message: str = "") -> None:
        """Tell how far the task is, from 0 to 1, and what it does at the moment."""
        running = _current.get()
        if running is None:
            return
        more: dict[str, Any] = {}
        if progress is not None and 0 <= progress <= 1:
            more["progress"] = progress
        if message:
            more["message"] = str(message)
        running.tell("task_progress", more)


class _Running:
    """A task that runs here, or is known here to have run."""

    def __init__(self, job: JobPublisher, about: dict[str, Any]) -> None:
        self.job = job
        self.about = about
        self.began = time.monotonic()
        self.before: _Running | None = None
        self.failure: tuple[str, str] | None = None  # told by task_failure: text and kind
        self.retried = False

    def tell(self, event_type: str, more: Mapping[str, Any], raw: str = "", terminal: bool = False) -> None:
        """Publish an event of the task. `raw` is members as JSON."""
        data = dumps({**self.about, **more}, ensure_ascii=False, separators=(",", ":"))
        self.job.emit(event_type, data[:-1] + raw + "}", terminal=terminal)

    def took(self) -> dict[str, int]:
        """Give how long it ran."""
        return {"duration_ms": round((time.monotonic() - self.began) * 1000)}


class Integration:
    """What `setup` gives. `close` undoes it."""

    def __init__(
        self,
        app: Celery,
        publisher: Publisher,
        job_id: JobRule,
        heartbeat: float | None,
        queued: bool,
        ends: bool | None,
        flush: float,
        retry_flush: float,
    ) -> None:
        self.app = app
        self.publisher = publisher
        self._rule = _rule(job_id)
        self._heartbeat = heartbeat
        self._ends = False if job_id == "root_id" and ends is None else ends
        self._flush = flush
        self._retry_flush = retry_flush
        self._running: dict[str, _Running] = {}
        self._connected: list[tuple[Any, Callable[..., None]]] = [
            (signals.task_prerun, self._guarded(self._prerun)),
            (signals.before_task_publish, self._guarded(self._publishing)),
            (signals.task_retry, self._guarded(self._retry)),
            (signals.task_failure, self._guarded(self._failure)),
            (signals.task_revoked, self._guarded(self._revoked)),
            (signals.task_postrun, self._guarded(self._postrun)),
            (signals.worker_process_shutdown, self._guarded(self._shutdown)),
        ]
        if queued:
            self._connected.append((signals.after_task_publish, self._guarded(self._published)))
        for signal, receiver in self._connected:
            signal.connect(receiver, weak=False)

    def close(self) -> None:
        """Tell of no more tasks. It does not close the publisher."""
        for signal, receiver in self._connected:
            signal.disconnect(receiver)
        self._connected = []

    def _guarded(self, receiver: Callable[..., None]) -> Callable[..., None]:
        """Keep a fault of ours from the task, and tasks of other apps from us."""

        def receive(sender: Any = None, **told: Any) -> None:
            try:
                app = getattr(sender, "app", None)
                if app is None or app is self.app or _app(app) is _app(self.app):
                    receiver(sender, **told)
            except Exception:
                log.exception("tidings: telling of a task failed")

        return receive

    # --- where the task runs ---

    def _prerun(self, task: Any, /, task_id: str, kwargs: Any = None, **_: object) -> None:
        request = task.request
        job_id = self._rule(task_id, kwargs or {}, request.headers or {}, request.root_id)
        if job_id is None:
            return
        job = self.publisher.open_job(job_id, heartbeat=self._heartbeat)
        job.hold_end()
        running = _Running(job, _about(task.name, task_id, request))
        running.before = _current.get()
        self._running[task_id] = running
        _current.set(running)
        running.tell("task_started", {})

    def _retry(self, task: Any, /, request: Any, reason: Any = None, einfo: Any = None, **_: object) -> None:
        running = self._running.get(request.id)
        if running is None:  # a worker that shuts down gives the task back
            running = self._elsewhere(task, request.id, request)
            if running is not None:
                running.tell("task_retried", {"reason": "the worker shuts down"})
                running.job.close()
            return
        if not running.retried:
            self._tell_retry(running, getattr(reason, "exc", None) or reason, None)

    def _publishing(self, name: Any, /, headers: Any = None, **_: object) -> None:
        """Tell of a retry before another worker can begin it: from then on nothing
        more of this attempt is taken."""
        running = _current.get()
        if running is None or not isinstance(headers, Mapping) or not headers.get("retries"):
            return
        if headers.get("id") != running.about["task_id"] or running.retried:
            return
        self._tell_retry(running, _retried_for(), headers.get("eta"))
        if not running.job.flush(self._retry_flush):
            log.warning("tidings: the next attempt of job %s may begin before this one is told", running.job.job_id)

    def _tell_retry(self, running: _Running, error: Any, eta: Any) -> None:
        running.retried = True
        running.job.soften_end()
        more: dict[str, Any] = running.took()
        if eta:
            more["eta"] = str(eta)
        texts = ""
        if error is not None:
            text, more["kind"] = _error(error)
            trace = error.__traceback__ if isinstance(error, BaseException) else None
            told = "".join(traceback.format_exception(error)) if trace is not None else ""
            texts = _texts(text, told)
        running.tell("task_retried", more, texts)

    def _failure(
        self, task: Any, /, task_id: str, exception: Any = None, kwargs: Any = None, einfo: Any = None, **_: object
    ) -> None:
        text, kind = _error(exception)
        running = self._running.get(task_id)
        if running is not None:
            running.failure = (text, kind)
            running.tell("task_failed", {**running.took(), "kind": kind}, _texts(text, _trace(einfo)))
            return
        # The worker's main process tells of a child that was killed.
        running = self._elsewhere(task, task_id, None, kwargs)
        if running is not None:
            running.tell("task_failed", {"kind": kind}, _texts(text, _trace(einfo)))
            if self._ends is not False:
                self._end(running, (text, kind))
            running.job.close()

    def _revoked(
        self, task: Any, /, request: Any, terminated: bool = False, signum: Any = None, expired: bool = False, **_: object
    ) -> None:
        running = self._elsewhere(task, request.id, request)
        if running is None:
            return
        reason = "expired" if expired else "terminated" if terminated else "revoked"
        more = {"signal": getattr(signum, "name", str(signum))} if terminated and signum else {}
        running.tell("cancelled", {"reason": reason, **more}, terminal=True)
        running.job.close()

    def _postrun(self, task: Any, /, task_id: str, retval: Any = None, state: Any = None, **_: object) -> None:
        running = self._running.pop(task_id, None)
        if running is None:
            return
        _current.set(running.before)
        if state == "SUCCESS":
            told = snapshot(retval, _MAX_RESULT)
            cut = f',"truncated":{{"result":{told.full}}}' if told.full else ""
            running.tell("task_completed", running.took(), f',"result":{told.json}{cut}')
            self._last_word(running, told.json + cut.replace('"result":', '"output":'))
        elif state == "FAILURE":
            self._last_word(running, None)
        else:  # to be tried again, replaced, or given back
            running.job.forget_end()
        running.job.close()
        if self._flush > 0:
            running.job.flush(self._flush)

    def _last_word(self, running: _Running, output: str | None) -> None:
        """End the job, if a handler has done so before or none would."""
        if running.job.release_end() or self._ends is False or (self._ends is None and running.job.shared):
            return
        if output is None:
            self._end(running, running.failure or ("the task failed", ""))
        else:
            took = running.took()["duration_ms"]
            data = f'{{"status":"completed","duration_ms":{took},"source":"{SOURCE}","output":{output}}}'
            running.job.emit("done", data, terminal=True)

    def _end(self, running: _Running, failure: tuple[str, str]) -> None:
        text, kind = failure
        about = {"kind": kind, "scope": "job", "fatal": True, "source": SOURCE}
        data = dumps({k: v for k, v in about.items() if v != ""}, separators=(",", ":"))
        running.job.emit("error", data[:-1] + _texts(text, "") + "}", terminal=True)

    def _shutdown(self, sender: Any, /, **_: object) -> None:
        self.publisher.close(self.publisher._exit_timeout)

    # --- elsewhere ---

    def _elsewhere(self, task: Any, task_id: str, request: Any, kwargs: Any = None) -> _Running | None:
        """Tell of a task that another process ran, or nobody."""
        if request is None:
            from celery.worker import state

            request = state.requests.get(task_id)
        headers = getattr(request, "headers", None) or getattr(request, "request_dict", None) or {}
        given = kwargs if kwargs is not None else getattr(request, "kwargs", None)
        root = getattr(request, "root_id", None)
        job_id = self._rule(task_id, given if isinstance(given, Mapping) else {}, headers, root)
        if job_id is None:
            return None
        job = self.publisher.open_job(job_id, heartbeat=None)
        return _Running(job, _about(task.name, task_id, request))

    def _published(
        self, name: Any, /, headers: Any = None, body: Any = None, routing_key: Any = None, **_: object
    ) -> None:
        if not isinstance(headers, Mapping) or "id" not in headers or headers.get("retries"):
            return
        kwargs = body[1] if isinstance(body, (tuple, list)) and len(body) > 1 else {}
        job_id = self._rule(headers["id"], kwargs or {}, headers, headers.get("root_id"))
        if job_id is None:
            return
        # A producer of its own: the worker's, which begins at the same time on
        # another machine, must not be fenced off.
        job = self.publisher.open_job(job_id, producer_id="celery.sent", heartbeat=None)
        about = {"task": str(name), "task_id": headers["id"], "queue": routing_key, "attempt": 1, "source": SOURCE}
        if headers.get("eta"):
            about["eta"] = str(headers["eta"])
        _Running(job, {k: v for k, v in about.items() if v}).tell("task_queued", {})
        job.close()


def _app(app: Any) -> Any:
    """Give the app behind a proxy."""
    get = getattr(app, "_get_current_object", None)
    return get() if get is not None else app


def _rule(rule: JobRule) -> Callable[[str, Mapping[str, Any], Mapping[str, Any], Any], str | None]:
    if callable(rule):
        return lambda task_id, kwargs, headers, root: rule(task_id, kwargs, headers)
    where, _, name = rule.partition(".")
    if rule not in ("task_id", "root_id") and (where not in ("kwargs", "header") or not name):
        raise ValueError(f"{rule!r} is no rule for the job; give task_id, root_id, kwargs.<name> or header.<name>")

    def find(task_id: str, kwargs: Mapping[str, Any], headers: Mapping[str, Any], root: Any) -> str:
        found = {"task_id": task_id, "root_id": root}.get(rule)
        if where == "kwargs":
            found = kwargs.get(name)
        elif where == "header":
            found = headers.get(name)
        return str(found) if found else task_id

    return find


def _about(name: str, task_id: str, request: Any) -> dict[str, Any]:
    """Give what every event of a task says."""
    delivery = getattr(request, "delivery_info", None) or {}
    told = getattr(request, "request_dict", None)
    retries = told.get("retries") if isinstance(told, Mapping) else getattr(request, "retries", 0)
    about = {
        "task": name,
        "task_id": task_id,
        "queue": delivery.get("routing_key"),
        "worker": getattr(request, "hostname", None),
        "attempt": int(retries or 0) + 1,
        "source": SOURCE,
    }
    return {k: v for k, v in about.items() if v}


def _error(error: Any) -> tuple[str, str]:
    """Give an exception's text and kind."""
    inner = getattr(error, "exc", None)
    if type(error).__name__ == "ExceptionWithTraceback" and inner is not None:
        error = inner
    try:
        text = str(error)
    except Exception:  # of somebody's own
        text = ""
    return text or type(error).__name__, type(error).__name__


def _retried_for() -> BaseException | None:
    """Give the error for which the task is being retried, by whoever called for that."""
    frame = sys._getframe()
    while frame.f_back is not None:
        if frame.f_code is Task.retry.__code__:
            given = frame.f_locals.get("exc")
            return given if isinstance(given, BaseException) else sys.exc_info()[1]
        frame = frame.f_back
    return sys.exc_info()[1]


def _trace(einfo: Any) -> str:
    return str(getattr(einfo, "traceback", "") or "")


def _texts(error: str, trace: str) -> str:
    """Give the error and the traceback's end, which says most, as members."""
    told = cut_text(error, _MAX_ERROR)
    out = f',"error":{told.json}'
    if trace:
        trace = trace if len(trace) <= _MAX_TRACEBACK else "…" + trace[-_MAX_TRACEBACK:]
        out += f',"traceback":{cut_text(trace, 4 * _MAX_TRACEBACK).json}'
    return out + (f',"truncated":{{"error":{told.full}}}' if told.full else "")
