"""The Redis publisher against a real Redis, and with the Go side over the same one."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from conftest import ROOT, Cluster, Redis, Server, run_python, wait_for
from test_http import custom, numbers

from tidings import ClosedError, Event, FencedError, GapError, InvalidError, Notice, RewoundError, UnknownJobError
from tidings.http import HTTPPublisher
from tidings.redis import RedisStreamPublisher, afollow, follow


@pytest.fixture
def client(redis_server: Redis) -> redis.Redis:
    return redis.Redis.from_url(redis_server.url)


def envelopes(client: Any, job_id: str) -> list[dict[str, Any]]:
    """What a bare reader sees."""
    streams = client.xread({f"job_events:{job_id}": "0"}) or []
    entries = [fields for _, items in (streams.items() if isinstance(streams, dict) else streams) for _, fields in (
        items[0] if items and isinstance(items[0], list) else items)]
    return [json.loads(fields[b"data"]) for fields in entries]


def test_the_scripts_are_those_of_the_go_side() -> None:
    ours = Path(__file__).parents[1] / "src" / "tidings" / "lua"
    names = sorted(p.name for p in ours.glob("*.lua"))
    assert names == ["adopt.lua", "append.lua", "heartbeat.lua", "log.lua", "look.lua"]
    for name in names:
        assert (ours / name).read_text() == (ROOT / "redislog" / "lua" / name).read_text(), (
            f"{name} differs: cp redislog/lua/{name} sdk/python/src/tidings/lua/"
        )


def test_a_bare_reader_sees_the_format(client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id)
    job.emit("custom", '{ "name": "a b", "value": [1.50, "x  y", 12345678901234567890]\n}')
    job.emit("done", '{"status":"completed"}')
    assert job.close(30)
    ((first_id, first), (_, last)) = client.xrange(f"job_events:{job_id}")
    assert list(first) == [b"event_type", b"timestamp", b"data"]
    assert first[b"event_type"] == b"custom"
    timestamp = first[b"timestamp"].decode()
    assert len(timestamp) == len("2026-11-24T09:20:01.234567Z") and timestamp.endswith("Z")
    assert first[b"data"].decode() == (
        '{"event_type":"custom","data":{"name":"a b","value":[1.50,"x  y",12345678901234567890]},'
        f'"timestamp":"{timestamp}","job_id":"{job_id}"}}'
    )
    meta = client.hgetall(f"{{job_events:{job_id}}}:meta")
    assert meta[b"n"] == b"2" and meta[b"end"] == meta[b"last"] > first_id
    assert meta[b"p:callback"] == f"{job.epoch} {job._seq - 1}".encode()


def test_go_reads_what_python_wrote(redis_backed_server: Server, client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id, heartbeat=0.05)
    job.emit("phase_update", '{"phase":"job","status":"started","name":"report","labels":{"env":"prod"}}')
    for n in range(600):
        job.emit("custom", custom(n))
    assert job.flush(30)
    assert numbers(redis_backed_server.events(job_id)) == list(range(600))
    told = redis_backed_server.job(job_id)
    assert (told["status"], told["name"], told["labels"]) == ("running", "report", {"env": "prod"})
    wait_for(lambda: redis_backed_server.job(job_id).get("lease_until"), "the lease")
    job.emit("error", '{"error":"boom","fatal":true}')
    assert job.close(30)
    assert redis_backed_server.job(job_id)["status"] == "failed"
    listed = lambda: httpx.get(  # noqa: E731
        f"{redis_backed_server.url}/v1/jobs", params={"label": "env=prod", "limit": "1000"}, trust_env=False
    ).json()["jobs"]
    wait_for(lambda: job_id in [j["id"] for j in listed()], "the job's being listed")


def test_a_viewer_of_the_go_side_sees_it_live(redis_backed_server: Server, client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id)
    url = f"{redis_backed_server.url}/v1/jobs/{job_id}/events"
    threading.Timer(0.1, job.emit, ("custom", custom(1))).start()
    with httpx.Client(trust_env=False, timeout=60) as viewer:
        with viewer.stream("GET", url, params={"wait": "60"}, headers={"Accept": "text/event-stream"}) as stream:
            ids = []
            for line in stream.iter_lines():
                if line.startswith("id: "):
                    ids.append(line)
                    job.emit("done", "{}") if len(ids) == 1 else None
                if line == "event: end":
                    break
    assert len(ids) == 2


def test_python_goes_on_where_go_stopped_and_the_reverse(
    redis_backed_server: Server, client: redis.Redis, job_id: str
) -> None:
    """One producer whichever way it writes: the store remembers it."""
    for n in range(6):
        way = HTTPPublisher(redis_backed_server.url) if n % 2 else RedisStreamPublisher(client)
        job = way.open_job(job_id, epoch=n)
        job.emit("custom", custom(n))
        assert way.close(30)
    assert numbers(redis_backed_server.events(job_id)) == list(range(6))
    zombie = RedisStreamPublisher(client).open_job(job_id, epoch=2)
    zombie.emit("custom", custom(99))
    assert not zombie.flush(30)
    assert isinstance(zombie.stopped, FencedError) and zombie.stopped.current == 5


def test_both_ways_give_the_same_events(
    server: Server, redis_backed_server: Server, client: redis.Redis, job_id: str
) -> None:
    def story(publisher: Any) -> None:
        job = publisher.open_job(job_id)
        job.emit("phase_update", '{"phase":"job", "status":"started"}')
        job.emit("tool_call", '{"tool":"s","call_id":"c","input":{"q":"ü\\u2028\\ud83d\\ude00","n":1.0e3}}')
        job.emit_delta(job, "text", 'a "quoted" \n piece', '"message_id":"m"')
        job.emit("done", "{}")
        assert job.close(30)

    story(HTTPPublisher(server.url))
    story(RedisStreamPublisher(client))
    strip = lambda events: [(e["event_type"], e["data"]) for e in events]  # noqa: E731
    assert strip(server.events(job_id)) == strip(redis_backed_server.events(job_id))


def test_redis_killed_for_a_while_costs_no_event_and_doubles_none(own_redis: Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(redis.Redis.from_url(own_redis.url))
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
    wait_for(lambda: job.stats.sent > 50, "events' getting through")
    own_redis.stop(signal.SIGTERM)  # a kill may lose what is not on the disk, which is Redis' own matter
    wait_for(lambda: job.stats.retried >= 5, "tries without Redis")
    own_redis.start()
    wait_for(lambda: job.stats.queued == 0, "the queue's being empty")
    stop.set()
    thread.join()
    job.emit("done", "{}")
    assert job.close(60)
    told_events = envelopes(redis.Redis.from_url(own_redis.url), job_id)
    assert [e["data"]["value"] for e in told_events[:-1]] == list(range(told))
    assert job.stats.dropped == 0


def test_a_log_whose_producers_were_forgotten_goes_on(client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id)
    for n in range(3):
        if n == 2:
            client.delete(f"{{job_events:{job_id}}}:meta")
        job.emit("custom", custom(n))
        assert job.flush(30)
    assert [e["data"]["value"] for e in envelopes(client, job_id)] == [0, 1, 2]


def test_foreign_entries_are_taken_into_account(client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id)
    job.emit("custom", custom(0))
    assert job.flush(30)
    for n in range(300):
        client.xadd(f"job_events:{job_id}", {"event_type": "error", "data": '{"error":"not fatal"}'})
    job.emit("custom", custom(1))
    assert job.flush(30)
    client.xadd(f"job_events:{job_id}", {"event_type": "error", "data": '{"fatal":true}'})
    job.emit("custom", custom(2))
    assert not job.flush(30)
    assert isinstance(job.stopped, ClosedError)
    assert client.xlen(f"job_events:{job_id}") == 303


@pytest.mark.parametrize("who", ["server", "bare XADD", "publisher", "before the start"])
def test_being_asked_to_stop(
    redis_backed_server: Server, client: redis.Redis, job_id: str, who: str
) -> None:
    publisher = RedisStreamPublisher(client, cancel_poll=0.05)
    if who == "before the start":
        RedisStreamPublisher(client).emit(job_id, "phase_update", '{"phase":"job","status":"queued"}')
        wait_for(lambda: redis_backed_server.events(job_id))
        RedisStreamPublisher(client).cancel(job_id, "ops", "why")
    job = publisher.open_job(job_id)
    for n in range(10):
        job.emit("custom", custom(n))
        job.flush(30)
    if who == "server":
        body = {"by": "ops", "reason": "why"}
        httpx.post(f"{redis_backed_server.url}/v1/jobs/{job_id}/cancel", json=body, trust_env=False).raise_for_status()
    elif who == "bare XADD":
        client.xadd(f"job_events:{job_id}", {"event_type": "cancel_requested", "data": '{"by":"ops","reason":"why"}'})
    elif who == "publisher":
        publisher.cancel(job_id, "ops", "why")
        publisher.cancel(job_id, "ops", "again")
    for n in range(10):
        job.emit("custom", custom(n))
    assert job.cancelled.wait(30)
    assert job.stop_request == ("ops", "why")
    asked = [e for e in redis_backed_server.events(job_id) if e["event_type"] == "cancel_requested"]
    assert len(asked) == 1
    publisher.close()


def test_cancel_says_why_it_can_not(client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    with pytest.raises(UnknownJobError):
        publisher.cancel(job_id)
    publisher.emit(job_id, "done", "{}")
    publisher.flush(30)
    with pytest.raises(ClosedError):
        publisher.cancel(job_id)


def test_bad_events_are_dropped_alone(client: redis.Redis, job_id: str) -> None:
    publisher = RedisStreamPublisher(client)
    job = publisher.open_job(job_id)
    bad = ["{not json", '{"x":NaN}', "", "[" * 20_000 + "]" * 20_000, '{"a":1}{"b":2}']
    for n, data in enumerate(bad):
        job.emit("custom", custom(n))
        job.emit("custom", data)
    job.emit("x" * 65, "{}")
    job.emit("custom", '{"value":"lone \ud800 surrogate"}')
    job.flush(30)
    told = envelopes(client, job_id)
    assert [e["data"]["value"] for e in told] == [*range(len(bad)), "lone ? surrogate"]
    assert job.stats.dropped == len(bad) + 1


def test_a_key_of_another_type_is_left_alone(client: redis.Redis, job_id: str) -> None:
    client.set(f"job_events:{job_id}", "mine")
    job = RedisStreamPublisher(client).open_job(job_id)
    job.emit("custom", custom(0))
    assert not job.flush(30)
    assert job.stats.dropped == 1 and client.get(f"job_events:{job_id}") == b"mine"


def test_an_asyncio_client_and_a_url_do_as_well(redis_server: Redis, client: redis.Redis, job_id: str) -> None:
    async def agent() -> None:
        publisher = RedisStreamPublisher(redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True))
        job = publisher.open_job(job_id)
        for n in range(50):
            job.emit("custom", custom(n))
            await asyncio.sleep(0)
        assert await job.aflush(30)
        await publisher.aclose(30)

    asyncio.run(agent())
    with RedisStreamPublisher(redis_server.url) as publisher:
        publisher.emit(job_id, "custom", custom(50))
    assert [e["data"]["value"] for e in envelopes(client, job_id)] == list(range(51))


def test_without_scripts_plain_entries_are_written(
    redis_backed_server: Server, client: redis.Redis, job_id: str
) -> None:
    client.acl_setuser(
        "restricted", enabled=True, nopass=True, keys=["job_events:*"],
        categories=["+@read", "+@write", "+@connection", "-@scripting"],
    )  # fmt: skip
    restricted = redis.Redis(port=client.connection_pool.connection_kwargs["port"], username="restricted", password="x")
    publisher = RedisStreamPublisher(restricted, scripts=False, cancel_poll=0.05)
    job = publisher.open_job(job_id)
    for n in range(20):
        job.emit("custom", custom(n))
    assert job.flush(30)
    client.xadd(f"job_events:{job_id}", {"event_type": "cancel_requested", "data": '{"by":"ops"}'})
    assert job.cancelled.wait(30)
    job.emit("done", "{}")
    assert job.close(30)
    assert numbers(redis_backed_server.events(job_id)) == list(range(20))
    assert redis_backed_server.job(job_id)["status"] == "completed"


@pytest.mark.parametrize("kind", ["sync", "asyncio"])
def test_a_cluster(redis_cluster: Cluster, job_id: str, kind: str) -> None:
    port = redis_cluster.nodes[0].port
    plain = redis.cluster.RedisCluster(host="127.0.0.1", port=port)
    jobs = [f"{job_id}-{k}" for k in range(12)]  # on all nodes

    def publish(client: Any) -> None:
        publisher = RedisStreamPublisher(client, cancel_poll=0.05)
        for n in range(20):
            for name in jobs:
                publisher.emit(name, "custom", custom(n))
        assert publisher.flush(30)
        leased = publisher.open_job(jobs[0], heartbeat=0.05)
        plain.xadd(f"job_events:{jobs[0]}", {"event_type": "cancel_requested", "data": "{}"})
        assert leased.cancelled.wait(30)
        assert publisher.close(30)

    if kind == "sync":
        publish(plain)
    else:

        async def agent() -> None:
            await asyncio.to_thread(publish, redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=port))

        asyncio.run(agent())
    for name in jobs:
        told = [e["data"]["value"] for e in envelopes(plain, name) if e.get("event_type") == "custom"]
        assert told == list(range(20))
        assert plain.hget(f"{{job_events:{name}}}:meta", "inc")


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(InvalidError):
        RedisStreamPublisher(object())
    with pytest.raises(InvalidError):
        RedisStreamPublisher("redis://127.0.0.1:9", prefix="a{b}")


def test_following_straight_from_redis(client: redis.Redis, job_id: str) -> None:
    with pytest.raises(UnknownJobError):
        next(follow(client, job_id))
    seen: list[Event] = []

    async def view() -> None:
        async for event in afollow(client, job_id, wait=True, types=["custom", "done"], poll=0.01):
            seen.append(event)

    viewer = threading.Thread(target=lambda: asyncio.run(view()), daemon=True)
    viewer.start()
    with RedisStreamPublisher(client) as publisher:
        publisher.emit(job_id, "state", "{}")
        for n in range(600):
            publisher.emit(job_id, "custom", custom(n))
        assert publisher.flush(30)
        client.xadd(f"job_events:{job_id}", {"event_type": "custom", "timestamp": "2026-11-24 09:20:01", "data": "plain"})
        publisher.emit(job_id, "done", "{}")
    viewer.join(60)
    assert [e.data["value"] for e in seen[:600]] == list(range(600))
    assert (seen[600].data, seen[600].timestamp) == ("plain", "2026-11-24T09:20:01.000000Z")
    assert seen[601].type == "done" and len(seen) == 602
    assert [e.id for e in follow(client, job_id, after=seen[600].cursor)] == [seen[601].id]
    client.xtrim(f"job_events:{job_id}", maxlen=10, approximate=False)
    with pytest.raises(GapError) as gap:
        list(follow(client, job_id, after=seen[0].cursor))
    assert len(list(follow(client, job_id, after=gap.value.cursor))) == 10
    client.delete(f"job_events:{job_id}", f"{{job_events:{job_id}}}:meta")
    with pytest.raises(UnknownJobError):
        list(follow(client, job_id, after=seen[5].cursor))
    RedisStreamPublisher(client).emit(job_id, "done", "{}")
    wait_for(lambda: client.exists(f"job_events:{job_id}"))
    with pytest.raises(RewoundError):
        list(follow(client, job_id, after=seen[5].cursor))
    notices: list[Notice] = []
    assert [e.type for e in follow(client, job_id, after=seen[5].cursor, on_notice=notices.append)] == ["done"]
    assert [n.kind for n in notices] == ["rewound", "connected"]


FORK = """
import multiprocessing, os, sys
import redis
from tidings.redis import RedisStreamPublisher

url, job_id = sys.argv[1:]
publisher = RedisStreamPublisher(redis.Redis.from_url(url))
shared = publisher.open_job(job_id)

def tell(job, who, n):
    job.emit("custom", '{"name":"%s","value":%d}' % (who, n))

def child(k):
    tell(shared, f"shared{k}", 0)
    own = publisher.open_job(f"{job_id}.{k}")
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


def test_forked_workers_write_on_their_own(redis_server: Redis, client: redis.Redis, job_id: str) -> None:
    result = run_python(FORK, redis_server.url, job_id)
    assert result.returncode == 0, result.stderr
    told = [e["data"] for e in envelopes(client, job_id)]
    assert [d["value"] for d in told if d["name"] == "n"] == list(range(400))
    assert sorted(d["name"] for d in told if d["name"] != "n") == ["shared0", "shared1", "shared2"]
    for k in range(3):
        assert [e["data"].get("value") for e in envelopes(client, f"{job_id}.{k}")] == [*range(20), None]
