"""The HTTP publisher against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import threading
import time
from typing import Any

import httpx
import pytest
from conftest import Server, free_port, run_python, wait_for

from tidings import AuthError, FencedError, Handler, InvalidError, MemoryPublisher, UnavailableError, cancel
from tidings._http import headers
from tidings.http import HTTPPublisher


def custom(n: int) -> str:
    return json.dumps({"name": "n", "value": n}, separators=(",", ":"))


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [e["data"]["value"] for e in events if e["event_type"] == "custom" and e["data"].get("name") == "n"]


def test_events_arrive_in_order_and_as_they_were_written(server: Server, job_id: str) -> None:
    with HTTPPublisher(server.url) as publisher:
        job = publisher.open_job(job_id)
        for n in range(1000):
            job.emit("custom", custom(n))
        job.emit("custom", '{"name":"x","value":1.10,"text":"\\ud83d\\ude00 ü \\n"}')
        job.emit("done", '{"status":"completed"}')
        assert job.close(timeout=30)
        events = server.events(job_id)
        assert numbers(events) == list(range(1000))
        assert events[-2]["data"] == {"name": "x", "value": 1.1, "text": "😀 ü \n"}
        assert events[-1]["event_type"] == "done"
        assert job.stats.sent == 1002 and job.stats.queued == 0 and job.stats.dropped == 0
        assert server.job(job_id)["status"] == "completed"


def test_nothing_raises_and_nothing_waits_when_there_is_no_server(job_id: str) -> None:
    publisher = HTTPPublisher("http://127.0.0.1:9", queue_bytes=10_000)
    job = publisher.open_job(job_id)
    for n in range(1000):
        job.emit("custom", custom(n))
        job.emit_delta(job, "text", "x")
    publisher.open_job("not { a job").emit("custom", "{}")
    publisher.emit("", "custom", "{}")
    publisher.emit(job_id, None, None)  # type: ignore[arg-type]
    assert not job.flush(timeout=0.1)
    assert job.stats.dropped > 0 and job.stats.queued_bytes <= 10_000 + 4 * 96
    assert not publisher.close(timeout=0.1)
    job.emit("custom", "{}")


def test_a_killed_server_costs_no_event_and_doubles_none(own_server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(own_server.url)
    job = publisher.open_job(job_id)
    stop = threading.Event()
    told = 0

    def agent() -> None:
        nonlocal told
        while not stop.is_set():
            job.emit("custom", custom(told))
            told += 1
            stop.wait(0.002)

    thread = threading.Thread(target=agent)
    thread.start()
    for _ in range(2):
        before = job.stats.sent
        wait_for(lambda: job.stats.sent > before + 50, "events' getting through")
        own_server.stop(signal.SIGKILL)
        tries = job.stats.retried
        wait_for(lambda: job.stats.retried >= tries + 5, "tries without a server")
        own_server.start()
    wait_for(lambda: job.stats.queued == 0, "the queue's being empty")
    stop.set()
    thread.join()
    job.emit("done", "{}")
    assert job.close(timeout=60)
    assert numbers(own_server.events(job_id)) == list(range(told))
    assert job.stats.dropped == 0


def test_what_the_queue_cannot_hold_is_counted_and_told_at_its_place(own_server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(own_server.url, queue_bytes=20_000)
    job = publisher.open_job(job_id)
    job.emit("custom", custom(0))
    assert job.flush(30)
    own_server.stop(signal.SIGKILL)
    for n in range(1, 1001):
        job.emit("custom", custom(n))
    job.emit("error", '{"error":"boom","fatal":true}')
    assert job.stats.dropped > 0
    own_server.start()
    job.close(timeout=60)
    events = own_server.events(job_id)
    kept = numbers(events)
    assert kept == list(range(len(kept)))
    assert [e["event_type"] for e in events[-2:]] == ["custom", "error"]
    losses = [e["data"]["value"] for e in events if e["data"].get("name") == "tidings.dropped"]
    assert events[-2]["data"]["value"] == losses[-1], "their place is behind what was kept"
    assert sum(loss["events"] for loss in losses) == 1001 - len(kept) == job.stats.dropped, (losses, job.stats)
    assert losses[0]["bytes"] > 0 and losses[0]["since"].endswith("Z")


def test_deltas_that_come_close_together_are_one_event(server: Server, job_id: str) -> None:
    with HTTPPublisher(server.url, coalesce=0.2) as publisher:
        job = publisher.open_job(job_id)
        text = [f"w{n} " for n in range(500)]
        for piece in text:
            job.emit_delta(job, "text", piece, '"message_id":"m"')
        job.emit_delta(job, "reasoning", "hm", '"message_id":"m"')
        job.emit("done", "{}")
        assert job.close(30)
    events = [e["data"] for e in server.events(job_id) if e["event_type"] == "thought"]
    said = [e for e in events if e["channel"] == "text"]
    assert "".join(e["delta"] for e in said) == "".join(text)
    assert len(said) < 50
    assert events[-1] == {"status": "delta", "channel": "reasoning", "delta": "hm", "message_id": "m"}


def test_one_bad_event_does_not_take_its_batch_with_it(server: Server, job_id: str) -> None:
    with HTTPPublisher(server.url) as publisher:
        job = publisher.open_job(job_id)
        for n in range(20):
            job.emit("custom", custom(n))
        job.emit("custom", "{not json")
        job.emit("x" * 65, "{}")
        job.emit("custom", json.dumps({"name": "big", "value": "x" * (2 << 20)}))
        for n in range(20, 40):
            job.emit("custom", custom(n))
        job.flush(30)
        assert numbers(server.events(job_id)) == list(range(40))
        assert job.stats.dropped == 3 and job.stats.sent == 40


def test_a_later_start_takes_the_job_over(server: Server, job_id: str) -> None:
    zombie, worker = HTTPPublisher(server.url), HTTPPublisher(server.url)
    old = zombie.open_job(job_id, epoch=0)
    old.emit("custom", custom(0))
    assert old.flush(30)
    new = worker.open_job(job_id, epoch=1)
    new.emit("custom", custom(1))
    assert new.flush(30)
    heard: list[Exception] = []
    old.on_stop(heard.append)
    old.emit("custom", custom(99))
    assert not old.flush(30)
    assert isinstance(old.stopped, FencedError) and old.stopped.current == 1
    wait_for(lambda: heard, "the callback")
    old.emit("custom", custom(100))
    assert old.stats.strays == 2
    assert numbers(server.events(job_id)) == [0, 1]


def test_a_delivery_again_with_the_same_epoch_goes_on_behind_the_first(server: Server, job_id: str) -> None:
    for n in range(3):
        publisher = HTTPPublisher(server.url)
        job = publisher.open_job(job_id, epoch=5)
        job.emit("custom", custom(n))
        assert job.close(30)
    assert numbers(server.events(job_id)) == [0, 1, 2]


def test_a_store_that_was_emptied_gets_what_comes(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url)
    job = publisher.open_job(job_id)
    job.emit("custom", custom(0))
    assert job.flush(30)
    httpx.delete(f"{server.url}/v1/jobs/{job_id}", trust_env=False).raise_for_status()
    job.emit("custom", custom(1))
    assert job.flush(30)
    assert numbers(server.events(job_id)) == [1]


def test_what_comes_after_the_end_is_a_stray(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url)
    job = publisher.open_job(job_id)
    job.emit("done", "{}")
    job.emit("custom", custom(1))
    job.close(30)
    assert job.stats.strays == 1
    assert [e["event_type"] for e in server.events(job_id)] == ["done"]


def test_being_asked_to_stop_is_heard_in_every_way(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url, cancel_poll=0.05)
    job = publisher.open_job(job_id)
    heard: list[Any] = []
    job.on_cancel(heard.append)

    async def agent() -> Any:
        job.emit("custom", custom(0))
        waiting = asyncio.create_task(job.wait_cancelled())
        await asyncio.to_thread(wait_for, lambda: server.events(job_id))
        assert not job.cancelled.is_set()
        body = {"reason": "too slow", "by": "ops"}
        async with httpx.AsyncClient(trust_env=False) as client:
            (await client.post(f"{server.url}/v1/jobs/{job_id}/cancel", json=body)).raise_for_status()
        return await asyncio.wait_for(waiting, 30)

    asked = asyncio.run(agent())
    assert asked == ("ops", "too slow") == job.stop_request
    assert job.cancelled.wait(30)
    wait_for(lambda: heard == [asked], "the callback")
    late: list[Any] = []
    job.on_cancel(late.append)
    assert late == [asked]
    publisher.close()


def test_a_job_has_a_lease_while_it_is_open(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url)
    job = publisher.open_job(job_id, heartbeat=0.05)
    job.emit("custom", custom(0))
    wait_for(lambda: server.events(job_id) and server.job(job_id).get("lease_until"), "the lease")
    publisher.close()


def test_a_job_opened_twice_is_one_writer(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url)
    task = publisher.open_job(job_id, epoch=3)
    agent = publisher.open_job(job_id)
    assert agent is task
    agent.emit("custom", custom(0))
    assert agent.close(30)
    task.emit("custom", custom(1))
    assert task.close(30)
    assert numbers(server.events(job_id)) == [0, 1]
    assert publisher.stats.sent == 2


def test_many_threads_many_jobs(server: Server, job_id: str) -> None:
    publisher = HTTPPublisher(server.url)

    def work(k: int) -> None:
        job = publisher.open_job(f"{job_id}.{k}")
        for n in range(100):
            job.emit("custom", custom(n))
        job.emit("done", "{}")
        job.close()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert publisher.close(60)
    for k in range(20):
        assert numbers(server.events(f"{job_id}.{k}")) == list(range(100))


def test_inside_an_event_loop_nothing_blocks_it(server: Server, job_id: str) -> None:
    async def agent() -> None:
        publisher = HTTPPublisher(server.url)
        job = publisher.open_job(job_id)
        for n in range(50):
            job.emit("custom", custom(n))
            await asyncio.sleep(0)
        assert await job.aflush(30)
        assert await publisher.aclose(30)

    asyncio.run(agent())
    assert numbers(server.events(job_id)) == list(range(50))


def test_a_short_program_ends_with_everything_sent(server: Server, job_id: str) -> None:
    code = """
import sys
from tidings.http import HTTPPublisher
HTTPPublisher(sys.argv[1]).emit(sys.argv[2], "custom", '{"name":"n","value":7}')
"""
    result = run_python(code, server.url.replace("127.0.0.1", "localhost"), job_id)
    assert result.returncode == 0 and result.stderr == ""
    assert numbers(server.events(job_id)) == [7]


def test_a_program_ends_though_there_is_no_server() -> None:
    code = """
from tidings.http import HTTPPublisher
HTTPPublisher("http://127.0.0.1:9", exit_timeout=0.2).emit("j", "custom", "{}")
"""
    result = run_python(code)
    assert result.returncode == 0
    assert "1 events could not be sent and are lost" in result.stderr


FORK = """
import multiprocessing, os, sys
from tidings.http import HTTPPublisher

url, job_id = sys.argv[1:]
publisher = HTTPPublisher(url)
shared = publisher.open_job(job_id)

def tell(job, who, n):
    job.emit("custom", '{"name":"%s","value":%d}' % (who, n))

def child(k):
    tell(shared, f"shared{k}", 0)              # of the parent: both may write
    own = publisher.open_job(f"{job_id}.{k}")  # of the child alone
    for n in range(20):
        tell(own, "n", n)
    own.emit("done", "{}")

for n in range(200):
    tell(shared, "n", n)
children = [multiprocessing.get_context("fork").Process(target=child, args=(k,)) for k in range(3)]
for c in children:
    c.start()
for n in range(200, 400):
    tell(shared, "n", n)
for c in children:
    c.join()
    assert c.exitcode == 0
shared.flush(30)
assert shared.stopped is None, shared.stopped
assert shared.stats.sent == 400, shared.stats
"""


def test_forked_workers_write_on_their_own(server: Server, job_id: str) -> None:
    result = run_python(FORK, server.url, job_id)
    assert result.returncode == 0, result.stderr
    events = server.events(job_id)
    assert numbers(events) == list(range(400)), "what the parent had queued is sent once, by the parent"
    assert sorted(e["data"]["name"] for e in events if e["data"]["name"] != "n") == ["shared0", "shared1", "shared2"]
    for k in range(3):
        assert numbers(server.events(f"{job_id}.{k}")) == list(range(20))


def test_a_callback_costs_the_agent_little(server: Server, job_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints what `emit` costs the agent's thread; it does not judge the machine."""
    with HTTPPublisher(server.url) as publisher:
        job = publisher.open_job(job_id)
        took = []
        for n in range(2000):
            began = time.perf_counter_ns()
            job.emit("custom", custom(n))
            took.append(time.perf_counter_ns() - began)
        job.flush(30)
    took.sort()
    with capsys.disabled():
        print(f"\nemit: p50 {took[1000] / 1000:.1f} µs, p99 {took[1980] / 1000:.1f} µs")
    assert publisher.stats.sent == 2000


def test_a_job_that_nobody_opened_is_forgotten_after_a_while(
    server: Server, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidings._delivery.FORGET_AFTER", 0.05)
    with HTTPPublisher(server.url) as publisher:
        for n in range(3):
            publisher.emit(job_id, "custom", custom(n))
            wait_for(lambda: not publisher._jobs, "its being forgotten")
        assert publisher.stats.sent == 3
    assert numbers(server.events(job_id)) == [0, 1, 2]


def test_counters_may_be_read_while_jobs_end(server: Server, job_id: str) -> None:
    with HTTPPublisher(server.url) as publisher:
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                assert publisher.stats.dropped == 0

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        for n in range(200):
            publisher.emit(f"{job_id}.{n}", "done", "{}")
        assert publisher.flush(60)
        stop.set()
        reader.join(30)
        assert not reader.is_alive() and publisher.stats.sent == 200


def test_a_handler_that_is_closed_twice_leaves_the_task_its_job(server: Server, job_id: str) -> None:
    with HTTPPublisher(server.url) as publisher:
        task = publisher.open_job(job_id)
        handler = Handler(job_id, publisher)
        assert handler.close() and handler.close()
        task.emit("custom", custom(0))
        assert task.close(30)
    assert numbers(server.events(job_id)) == [0]


def test_no_secret_reaches_a_log_or_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(InvalidError) as password:
        HTTPPublisher(address.replace("//", "//user:hunter2@"))
    with pytest.raises(UnavailableError) as away:
        cancel("job", url=address, token="s3cret")
    with pytest.raises(AuthError) as bad:
        cancel("job", url=address, token="s3cret\nX-Other: y")
    for token in ("s3cret", "s3cret\nX-Other: y", "s3crét"):
        publisher = HTTPPublisher(address, token)
        publisher.emit("job", "custom", "{}")
        assert not publisher.flush(0.1)
        publisher.close(0)
    told = f"{password.value} {away.value} {bad.value} {caplog.text}"
    assert "can't publish job" in told
    assert "no token has" in told
    assert not any(secret in told for secret in ("hunter2", "s3cr"))


def test_a_token_that_was_read_from_a_file_may_end_its_line() -> None:
    assert headers("t0ken\n")["Authorization"] == "Bearer t0ken"


def test_who_waits_no_longer_for_a_request_to_stop_is_forgotten() -> None:
    async def wait() -> int:
        with MemoryPublisher() as publisher:
            job = publisher.open_job("job")
            for _ in range(10):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(job.wait_cancelled(), 0.001)
            return len(job._waiters)

    assert asyncio.run(wait()) == 0
