"""Agents publish to real servers: over HTTP, straight to Redis, and while the server is away."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
from decimal import Decimal
from typing import Any, NamedTuple

import httpx
import pytest
from callback_cases import CASES, Player, joined, load
from conftest import Redis, Server, run_python, wait_for
from graphs import Items, agent
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from outline import outline
from test_callback_cases import exact

from tidings import HTTPPublisher, MemoryPublisher, Publisher
from tidings.langchain import TidingsCallbackHandler
from tidings.redis import RedisStreamPublisher


class Told(NamedTuple):
    """An event as `outline` takes it."""

    type: str
    data: Any


def stored(server: Server, job_id: str) -> list[Told]:
    return [Told(e["event_type"], e["data"]) for e in server.events(job_id)]


# --- the callback cases, as the server has them ---


@pytest.mark.parametrize("name", CASES)
def test_callback_case_over_http(server: Server, job_id: str, name: str) -> None:
    case = load(name)

    def request_stop(by: str, reason: str) -> None:
        event = {"event_type": "cancel_requested", "data": {"by": by, "reason": reason}}
        httpx.post(f"{server.url}/v1/jobs/{job_id}/events", json=event, trust_env=False).raise_for_status()

    with HTTPPublisher(server.url, cancel_poll=0.02) as publisher:
        player = Player(case, publisher, job_id, request_stop)
        player.play()
    answer = httpx.get(f"{server.url}/v1/jobs/{job_id}/events", params={"limit": 10000}, trust_env=False)
    got = json.loads(answer.text, parse_float=Decimal)["events"]
    got = [{"event_type": e["event_type"], "data": e["data"]} for e in got]
    assert exact(joined(got)) == exact(joined(case["events"])), case["about"]
    assert server.job(job_id)["status"] == case["status"]


# --- straight to Redis and over HTTP ---


def run_agent(publisher: Publisher, job_id: str) -> None:
    handler = TidingsCallbackHandler(job_id, publisher, name="agent", labels={"team": "a"})
    asked = {"messages": [HumanMessage("double three", id="h")]}
    for _ in agent().stream(asked, {"callbacks": [handler], "configurable": {"thread_id": job_id}}, stream_mode="messages"):
        pass
    assert handler.close(60)


def normal(events: list[Told]) -> Any:
    """Give the events with IDs named in the order in which they come, and without times."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found.group(), f"id-{len(names)}")

    told = joined([{"event_type": e.type, "data": _timeless(e.data)} for e in events])
    uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    return json.loads(re.sub(uuid, name, json.dumps(told)))


def _timeless(data: Any) -> Any:
    return {key: value for key, value in data.items() if not key.endswith("_ms")}


def test_straight_to_redis_and_over_http_give_the_same_events(
    server: Server, redis_backed_server: Server, redis_server: Redis, job_id: str
) -> None:
    with HTTPPublisher(server.url) as over_http:
        run_agent(over_http, job_id)
    with RedisStreamPublisher(redis_server.url) as to_redis:
        run_agent(to_redis, job_id)
    by_http = stored(server, job_id)
    assert len(by_http) > 20
    assert by_http[-1].type == "done"
    assert normal(stored(redis_backed_server, job_id)) == normal(by_http)
    for at in (server, redis_backed_server):
        summary = at.job(job_id)
        assert (summary["status"], summary["name"], summary["labels"]) == ("completed", "agent", {"team": "a"})


def test_a_program_that_ends_while_its_job_waits_for_another_root_ends_it(server: Server, job_id: str) -> None:
    code = """
import os, sys
import tidings
publisher = tidings.HTTPPublisher(sys.argv[1], exit_timeout=60)
job = tidings.start(sys.argv[2], publisher, automatic=True, grace=3600)
job.phase("root").end({"n": 1})
if os.fork() == 0:
    sys.exit()  # what is the parent's to end
os.wait()
job.phase("another").end({"n": 2})
"""
    ended = run_python(code, server.url, job_id)
    assert (ended.returncode, ended.stderr) == (0, "")
    events = stored(server, job_id)
    assert [e.data.get("phase") for e in events] == ["job", "root", "root", "another", "another", None]
    assert (events[-1].type, events[-1].data["output"]) == ("done", {"n": 2})


# --- the server is away ---

STEPS = 60
AWAY = 10.0


def long_graph(step: Any) -> Any:
    """Build a graph that goes around so often."""
    graph = StateGraph(Items)
    graph.add_node("step", step)
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if len(state["items"]) >= STEPS else "step")
    return graph.compile()


def run_long(publisher: Publisher, job_id: str, pause: float, at_five: Any = None) -> list[float]:
    """Run the long graph, and give how long it took from each step to the next."""
    began: list[float] = []

    def step(state: Items) -> Items:
        began.append(time.monotonic())
        n = len(state["items"])
        if n == 5 and at_five is not None:
            at_five()
        handler.job.custom("step", n)
        time.sleep(pause)  # the agent's work
        return {"items": [n]}

    handler = TidingsCallbackHandler(job_id, publisher)
    config: Any = {"callbacks": [handler], "recursion_limit": STEPS + 5}
    long_graph(step).invoke({"items": []}, config)
    began.append(time.monotonic())
    assert handler.close(60)
    return [later - earlier for earlier, later in zip(began, began[1:], strict=False)]


def test_an_agent_neither_fails_nor_slows_while_the_server_is_away(own_server: Server, job_id: str) -> None:
    back: list[threading.Thread] = []

    def kill() -> None:
        own_server.stop(signal.SIGKILL)
        back.append(threading.Timer(AWAY, own_server.start))
        back[0].start()

    with HTTPPublisher(own_server.url) as publisher:
        durations = run_long(publisher, job_id, pause=0.25, at_five=kill)
        stats = publisher.stats
    back[0].join()
    assert max(durations[:5] + durations[6:]) < 5  # far above noise, far below what a hanging server would cost
    assert stats.retried > 0
    assert stats.dropped == 0
    events = wait_for(lambda: stored(own_server, job_id), "the events")
    assert [e.data["value"] for e in events if e.type == "custom"] == list(range(STEPS))
    with MemoryPublisher() as memory:
        run_long(memory, job_id, pause=0)
        assert outline(events) == outline(memory.events(job_id))
