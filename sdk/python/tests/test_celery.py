"""Real Celery workers (prefork, two processes) on a Redis broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from conftest import Process, Redis, Server, python_env, wait_for
from test_http import numbers

HERE = Path(__file__).parent

CALLER = """
import json, sys
import celery_app
for line in sys.stdin:
    what, told = json.loads(line)
    if what == "call":
        getattr(celery_app, told.pop("task")).apply_async(**told)
    else:
        getattr(celery_app.app.control, told[0])(*told[1], **told[2])
    print("done", flush=True)
"""


class Worker:
    """A Celery worker and its callers, with a queue of their own."""

    def __init__(self, folder: Path, broker: Redis, **env: str) -> None:
        self._caller: subprocess.Popen[str] | None = None
        self.queue = f"q-{uuid.uuid4().hex}"
        self._env = python_env(BROKER=broker.url, NO_PROXY="127.0.0.1", **env)
        self.process = Process(
            [
                sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-Q", self.queue,
                "-n", f"{self.queue}@test", "--without-gossip", "--without-mingle", "-l", "warning",
            ],
            cwd=folder, env=self._env,
        )  # fmt: skip

    def call(self, *tasks: dict[str, Any]) -> None:
        """Send tasks; each is a dict of apply_async's arguments and the task's name."""
        for task in tasks:
            self._do("call", {"queue": self.queue, **task})

    def control(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Send a command to the worker."""
        self._do("control", [method, args, kwargs])

    def _do(self, *what: Any) -> None:
        """Have it done by the process that calls tasks."""
        if self._caller is None:
            self._caller = subprocess.Popen(
                [sys.executable, "-c", CALLER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True, env=self._env, cwd=HERE,
            )  # fmt: skip
        assert self._caller.stdin is not None and self._caller.stdout is not None
        print(json.dumps(what), file=self._caller.stdin, flush=True)
        assert self._caller.stdout.readline() == "done\n"

    def stop(self) -> None:
        """End it as a deployment does."""
        self.process.stop(signal.SIGTERM)
        if self._caller is not None:
            self._caller.communicate(timeout=30)


@pytest.fixture(scope="module")
def worker(server: Server, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    it = Worker(tmp_path_factory.mktemp("celery"), redis_server, TIDINGS_URL=server.url)
    yield it
    it.stop()


def story(server: Server, job_id: str, until: str) -> list[tuple[str, dict[str, Any]]]:
    """The job's events, once that type is among them."""

    def told() -> Any:
        events = server.events(job_id)
        return [e["event_type"] for e in events].count(until) and events

    return [(e["event_type"], e["data"]) for e in wait_for(told, f"the {until} of {job_id}")]


def of(events: list[tuple[str, dict[str, Any]]], *types: str) -> list[tuple[str, dict[str, Any]]]:
    return [e for e in events if e[0] in types]


def types_but_queued(events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Its process sends task_queued at the same time: it may come a little late."""
    return [kind for kind, _ in events if kind != "task_queued"]


def test_a_task_that_succeeds(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "ok", "args": [3], "task_id": job_id})
    events = story(server, job_id, "done")
    assert types_but_queued(events) == ["task_started", "custom", "custom", "custom", "task_completed", "done"]
    ((_, queued),) = of(events, "task_queued")
    assert queued == {
        "task": "celery_app.ok", "task_id": job_id, "queue": worker.queue, "attempt": 1, "source": "worker",
    }  # fmt: skip
    ((_, started),) = of(events, "task_started")
    assert started == {**queued, "worker": f"{worker.queue}@test"}
    ((_, completed),) = of(events, "task_completed")
    assert completed.pop("duration_ms") >= 0
    assert completed == {**started, "result": {"told": 3}}
    assert events[-1][1]["output"] == {"told": 3}
    job = server.job(job_id)
    assert (job["status"], job["closed"]) == ("completed", True)


def test_a_task_that_fails(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "fails", "task_id": job_id})
    events = story(server, job_id, "error")
    assert types_but_queued(events) == ["task_started", "custom", "task_failed", "error"]
    ((_, failed),) = of(events, "task_failed")
    assert (failed["error"], failed["kind"]) == ("no such luck", "ValueError")
    assert "raise ValueError" in failed["traceback"]
    assert events[-1][1] == {
        "error": "no such luck", "kind": "ValueError", "scope": "job", "fatal": True, "source": "worker",
    }  # fmt: skip
    assert server.job(job_id)["status"] == "failed"


def test_a_task_that_is_retried(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "flaky", "task_id": job_id})
    events = story(server, job_id, "done")
    attempt = ["task_started", "custom", "task_retried"]
    assert types_but_queued(events) == [*attempt, *attempt, "task_started", "custom", "task_completed", "done"]
    assert [d["attempt"] for _, d in of(events, "task_started", "task_completed")] == [1, 2, 3, 3]
    retried = of(events, "task_retried")[0][1]
    assert (retried["error"], retried["kind"], retried["attempt"]) == ("not yet", "OSError", 1)
    assert len(of(events, "task_queued")) == 1


def test_a_handlers_last_word_waits_for_the_task(worker: Worker, server: Server, job_id: str) -> None:
    """Its fatal error in an attempt that is tried again does not end the job, and
    its `done` comes behind `task_completed`."""
    worker.call({"task": "agent", "task_id": job_id})
    events = story(server, job_id, "done")
    ends = of(events, "error", "done", "task_started", "task_retried", "task_completed")
    assert [kind for kind, _ in ends] == [
        "task_started", "error", "task_retried", "task_started", "task_completed", "done",
    ]  # fmt: skip
    assert ends[1][1]["fatal"] is False and ends[1][1]["error"] == "model away"
    assert ends[-1][1]["output"] == "planned" and "source" not in ends[-1][1]


def test_a_task_that_is_asked_to_stop(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "polite", "task_id": job_id})
    ((_, progress),) = of(story(server, job_id, "task_progress"), "task_progress")
    assert (progress["progress"], progress["message"]) == (0.5, "half way")
    httpx.post(f"{server.url}/v1/jobs/{job_id}/cancel", json={"by": "ops"}, trust_env=False).raise_for_status()
    events = story(server, job_id, "done")
    assert of(events, "task_completed")[0][1]["result"] == "stopped by ops"


def test_a_task_that_is_revoked_while_it_runs(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "sleeps", "task_id": job_id})
    story(server, job_id, "custom")
    worker.control("revoke", job_id, terminate=True)
    events = story(server, job_id, "cancelled")
    assert (events[-1][1]["reason"], events[-1][1]["task"]) == ("terminated", "celery_app.sleeps")
    assert server.job(job_id)["status"] == "cancelled"


def test_a_task_that_expired(worker: Worker, server: Server, job_id: str) -> None:
    worker.call({"task": "ok", "args": [1], "task_id": job_id, "expires": -1})
    events = story(server, job_id, "cancelled")
    assert events[-1][1]["reason"] == "expired" and not of(events, "task_started")


@pytest.mark.parametrize(("task", "kind"), [("too_long", "TimeLimitExceeded"), ("dies", "WorkerLostError")])
def test_a_task_whose_process_is_killed(worker: Worker, server: Server, job_id: str, task: str, kind: str) -> None:
    worker.call({"task": task, "task_id": job_id})
    events = story(server, job_id, "error")
    assert types_but_queued(events)[-2:] == ["task_failed", "error"]
    ((_, failed),) = of(events, "task_failed")
    assert failed["kind"] == kind and failed["source"] == "worker"
    assert server.job(job_id)["status"] == "failed"


def test_a_task_that_is_delivered_again_after_its_process_was_killed(
    worker: Worker, server: Server, job_id: str
) -> None:
    worker.call({"task": "dies_once", "task_id": job_id})
    events = story(server, job_id, "done")
    once = ["task_started", "custom"]
    assert types_but_queued(events) == [*once, *once, "task_completed", "done"]
    assert numbers([{"event_type": k, "data": d} for k, d in events]) == [0, 1]


def test_the_job_of_a_keyword_argument_straight_to_redis(
    redis_server: Redis, redis_backed_server: Server, tmp_path: Path, job_id: str
) -> None:
    worker = Worker(tmp_path, redis_server, TIDINGS_REDIS=redis_server.url, JOB_RULE="kwargs.job")
    try:
        worker.call({"task": "ok", "args": [2], "kwargs": {"job": job_id}})
        events = story(redis_backed_server, job_id, "done")
        assert types_but_queued(events) == ["task_started", "custom", "custom", "task_completed", "done"]
        with redis.Redis.from_url(redis_server.url) as client:
            assert client.xlen(f"job_events:{job_id}") == len(events)
    finally:
        worker.stop()


def test_a_server_killed_for_seconds_while_tasks_run(own_server: Server, redis_server: Redis, tmp_path: Path) -> None:
    """Each event of each task is there once and in order, and the tasks did not wait."""
    worker = Worker(tmp_path, redis_server, TIDINGS_URL=own_server.url)
    jobs = [f"job-{uuid.uuid4()}" for _ in range(20)]
    try:
        worker.call(*({"task": "ok", "args": [40], "kwargs": {"pause": 0.005}, "task_id": job} for job in jobs))
        story(own_server, jobs[2], "task_started")
        own_server.stop(signal.SIGKILL)
        with redis.Redis.from_url(redis_server.url) as client:
            wait_for(
                lambda: all(client.exists(f"celery-task-meta-{job}") for job in jobs), "the tasks' ends without a server"
            )
        own_server.start()
        for job in jobs:
            events = [{"event_type": k, "data": d} for k, d in story(own_server, job, "done")]
            assert numbers(events) == list(range(40)), job
            kinds = [e["event_type"] for e in events if e["event_type"].startswith("task_")]
            assert sorted(kinds) in (["task_completed", "task_queued", "task_started"], ["task_completed", "task_started"])
    finally:
        worker.stop()


def test_what_is_queued_is_sent_when_the_worker_ends(
    server: Server, redis_server: Redis, tmp_path: Path, job_id: str
) -> None:
    worker = Worker(tmp_path, redis_server, TIDINGS_URL=server.url)
    worker.call({"task": "ok", "args": [100, 0.01], "task_id": job_id})
    story(server, job_id, "task_started")
    worker.stop()
    assert worker.process.popen.returncode == 0, os.linesep.join(worker.process.lines)
    events = server.events(job_id)
    assert numbers(events) == list(range(100)) and events[-1]["event_type"] == "done"
