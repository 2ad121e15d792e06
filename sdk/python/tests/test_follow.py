"""Following and cancelling against a real server."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis
from conftest import Redis, Server, free_port, wait_for
from test_http import custom

import tidings
from tidings._sse import Message, Parser
from tidings.http import HTTPPublisher


def publish(server: Server, job_id: str, first: int, last: int, end: bool = False) -> None:
    with HTTPPublisher(server.url) as publisher:
        job = publisher.open_job(job_id, heartbeat=None)
        for n in range(first, last):
            job.emit("custom", custom(n))
        if end:
            job.emit("done", '{"status":"completed"}')
        assert job.flush(30)


def values(events: list[tidings.Event]) -> list[Any]:
    return [e.data.get("value") for e in events if e.type == "custom"]


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(action()), daemon=True)
    thread.start()
    return thread, result


def test_history_then_live_until_the_end(server: Server, job_id: str) -> None:
    publish(server, job_id, 0, 100)
    seen: list[tidings.Event] = []

    def view() -> None:
        seen.extend(tidings.follow(job_id, url=server.url))

    thread, _ = in_thread(view)
    publish(server, job_id, 100, 200, end=True)
    thread.join(60)
    assert values(seen) == list(range(200))
    last = seen[-1]
    assert (last.type, last.job_id, last.data) == ("done", job_id, {"status": "completed"})
    assert last.cursor.startswith(last.id + "~") and last.time.tzinfo is not None
    assert list(tidings.follow(job_id, url=server.url, after=last.cursor)) == [], "204: nothing more to come"


def test_async_and_by_type_and_from_a_cursor(server: Server, job_id: str) -> None:
    publish(server, job_id, 0, 10)

    async def view() -> tuple[list[tidings.Event], str]:
        some = []
        async with tidings.afollow(job_id, url=server.url, types=["custom", "done"]) as events:
            async for event in events:
                some.append(event)
                if len(some) == 4:
                    break
            return some, events.cursor

    some, cursor = asyncio.run(view())
    assert values(some) == [0, 1, 2, 3] and cursor == some[-1].cursor
    publish(server, job_id, 10, 12, end=True)
    with tidings.follow(job_id, url=server.url, after=cursor) as events:
        assert values(list(events)) == list(range(4, 12))


def test_text_with_any_line_separator_comes_through(server: Server, job_id: str) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\x0cf\r\ng\u00e9\U0001f600"
    with HTTPPublisher(server.url) as publisher:
        publisher.emit(job_id, "custom", json.dumps({"value": text}, ensure_ascii=False))
        publisher.emit(job_id, "done", "{}")
    assert values(list(tidings.follow(job_id, url=server.url))) == [text]


def test_a_killed_server_is_survived(own_server: Server, job_id: str) -> None:
    publish(own_server, job_id, 0, 50)
    seen: list[tidings.Event] = []
    notices: list[tidings.Notice] = []

    def view() -> None:
        for event in tidings.follow(job_id, url=own_server.url, on_notice=notices.append):
            seen.append(event)

    thread, _ = in_thread(view)
    wait_for(lambda: len(seen) == 50)
    own_server.stop(signal.SIGKILL)
    wait_for(lambda: [n for n in notices if n.kind == "disconnected" and isinstance(n.error, tidings.UnavailableError)])
    own_server.start()
    publish(own_server, job_id, 50, 100, end=True)
    thread.join(60)
    assert values(seen) == list(range(100))


def test_a_job_that_does_not_exist_yet_can_be_waited_for(server: Server, job_id: str) -> None:
    with pytest.raises(tidings.UnknownJobError):
        next(tidings.follow(job_id, url=server.url))
    thread, result = in_thread(lambda: list(tidings.follow(job_id, url=server.url, wait=True)))
    publish(server, job_id, 0, 3, end=True)
    thread.join(60)
    assert values(result[0]) == [0, 1, 2]


def test_without_a_server_the_first_attempt_says_so() -> None:
    with pytest.raises(tidings.UnavailableError, match="can't reach"):
        next(tidings.follow("j", url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(tidings.InvalidError):
        tidings.follow("j", url="127.0.0.1:8080")
    with pytest.raises(tidings.InvalidError):
        tidings.follow("{j}")


def test_another_life_of_the_job_is_told(server: Server, job_id: str) -> None:
    publish(server, job_id, 0, 5)
    events = tidings.follow(job_id, url=server.url)
    cursor = [next(events) for _ in range(5)][-1].cursor
    httpx.delete(f"{server.url}/v1/jobs/{job_id}", trust_env=False).raise_for_status()
    with pytest.raises(tidings.UnknownJobError, match="deleted"):
        next(events)
    publish(server, job_id, 10, 12, end=True)
    with pytest.raises(tidings.RewoundError):
        list(tidings.follow(job_id, url=server.url, after=cursor))
    notices: list[tidings.Notice] = []
    seen = list(tidings.follow(job_id, url=server.url, after=cursor, on_notice=notices.append))
    assert values(seen) == [10, 11]
    assert [n.kind for n in notices] == ["connected", "rewound"]


def test_trimmed_events_are_told(redis_backed_server: Server, redis_server: Redis, job_id: str) -> None:
    server = redis_backed_server
    publish(server, job_id, 0, 50)
    first = server.events(job_id)[0]["id"]  # a viewer would leave events in the server's memory
    with redis.Redis.from_url(redis_server.url) as client:
        client.xtrim(f"job_events:{job_id}", maxlen=10, approximate=False)
    publish(server, job_id, 50, 51, end=True)
    with pytest.raises(tidings.GapError) as told:
        list(tidings.follow(job_id, url=server.url, after=first))
    rest = list(tidings.follow(job_id, url=server.url, after=told.value.cursor))
    assert rest[0].id == told.value.first_id and values(rest) == list(range(40, 51))
    notices: list[tidings.Notice] = []
    assert list(tidings.follow(job_id, url=server.url, on_notice=notices.append)) == rest
    assert [n.kind for n in notices] == ["connected", "gap"]


def test_a_stalled_worker_is_told(server: Server, job_id: str) -> None:
    publish(server, job_id, 0, 1)
    httpx.post(f"{server.url}/v1/jobs/{job_id}/heartbeat", json={"ttl_ms": 300}, trust_env=False).raise_for_status()
    notices: list[tidings.Notice] = []
    thread, _ = in_thread(lambda: list(tidings.follow(job_id, url=server.url, on_notice=notices.append)))
    wait_for(lambda: "stalled" in [n.kind for n in notices])
    publish(server, job_id, 1, 2, end=True)
    thread.join(60)
    assert "resumed" in [n.kind for n in notices]


def test_cancel_and_who_asked(server: Server, job_id: str) -> None:
    with pytest.raises(tidings.UnknownJobError):
        tidings.cancel(job_id, url=server.url)
    publish(server, job_id, 0, 1)
    assert tidings.stop_request(job_id, url=server.url) is None

    async def both() -> tidings.StopRequest | None:
        waiting = asyncio.create_task(tidings.await_cancel(job_id, url=server.url))
        await tidings.acancel(job_id, reason="too slow", by="ops", url=server.url)
        return await asyncio.wait_for(waiting, 60)

    assert asyncio.run(both()) == ("ops", "too slow")
    assert tidings.stop_request(job_id, url=server.url) == ("ops", "too slow")
    assert asyncio.run(tidings.astop_request(job_id, url=server.url)) == ("ops", "too slow")
    publish(server, job_id, 1, 1, end=True)
    with pytest.raises(tidings.ClosedError):
        tidings.cancel(job_id, url=server.url)


def test_tokens(tidings_binary: Any, tmp_path: Any, job_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a-secret-of-the-tests"
    server = Server(tidings_binary, tmp_path, "--api-key", secret)
    try:
        with HTTPPublisher(server.url, token=secret) as publisher:
            publisher.emit(job_id, "custom", custom(0))
            assert publisher.flush(30)
        with pytest.raises(tidings.AuthError, match="401"):
            next(tidings.follow(job_id, url=server.url, token="another-secret-of-theirs"))
        monkeypatch.setenv("TIDINGS_URL", server.url)
        monkeypatch.setenv("TIDINGS_TOKEN", secret)
        tidings.cancel(job_id)
        assert next(tidings.follow(job_id)).data["value"] == 0
    finally:
        server.stop()


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_whole_however_they_are_cut(size: int) -> None:
    text = b': \n\nretry: 1500\n\nid: 1-0~a\nevent: x\r\ndata: {"a":\ndata: 1}\n\nevent: end\ndata: {}\n\ndata: cut off'
    parser, seen = Parser(), []
    for at in range(0, len(text), size):
        seen += parser.feed(text[at : at + size])
    assert seen == [Message("x", "1-0~a", b'{"a":\n1}'), Message("end", "", b"{}")]
    assert parser.retry == 1.5
