"""The handler without a framework: what people write by hand."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import random
import threading
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import wait_for
from outline import outline

from tidings.handler import Handler, StopRequested, new_id, start
from tidings.memory import MemoryPublisher
from tidings.runs import REASONING


@pytest.fixture
def publisher() -> Iterator[MemoryPublisher]:
    with MemoryPublisher(cancel_poll=0.01) as it:
        yield it  # type: ignore[misc]


def told(publisher: MemoryPublisher, job_id: str = "job") -> str:
    return outline(publisher.events(job_id))


def test_an_agent_without_a_framework(publisher: MemoryPublisher) -> None:
    with start("job", publisher, name="study", labels={"team": "a"}, metadata={"folder": "docs"}) as job:
        with job.phase("plan", input={"n": 1}) as plan:
            with job.model("gpt-5") as model:
                model.delta("Hm.", REASONING)
                model.delta("Let me ")
                model.delta("look.")
                model.usage(10, 4, reasoning_tokens=1)
                model.cost(0.1)
                model.finish_reason("stop")
            plan.progress(0.5, "planned")
            with job.tool("add", "c1", {"a": 1}) as call:
                call.output(3)
            plan.output({"steps": 2})
        job.custom("note", {"x": [1]})
        job.state({"answer": 3})
        job.output({"answer": 3})
    first = publisher.events("job")[0].data
    assert first == {
        "phase": "job", "status": "started", "name": "study", "labels": {"team": "a"}, "metadata": {"folder": "docs"},
    }  # fmt: skip
    assert told(publisher) == (
        "phase_update job started\n"
        "  phase_update plan started kind=chain input={'n': 1}\n"
        "    thought started\n"
        '    thought delta reasoning "Hm."\n'
        '    thought delta text "Let me look."\n'
        "    thought completed content=Let me look. finish_reason=stop "
        "usage={'input_tokens': 10, 'output_tokens': 4, 'reasoning_tokens': 1}\n"
        "  phase_update plan progress kind=chain\n"
        "    tool_call add c1 input={'a': 1}\n"
        "    tool_result add c1 output=3\n"
        "  phase_update plan completed kind=chain output={'steps': 2}\n"
        "custom note value={'x': [1]}\n"
        "state snapshot={'answer': 3}\n"
        "done output={'answer': 3} usage={'input_tokens': 10, 'output_tokens': 4, 'reasoning_tokens': 1}\n"
    )


def test_an_exception_goes_on_and_is_told_once(publisher: MemoryPublisher) -> None:
    with pytest.raises(ZeroDivisionError):
        with start("job", publisher) as job, job.phase("work"), job.tool("div", "c1"):
            _ = 1 // 0
    assert told(publisher).splitlines()[3:] == [
        "    tool_result div c1 error_kind=ZeroDivisionError error=integer division or modulo by zero",
        "  phase_update work failed kind=chain error_kind=ZeroDivisionError (told)",
        "error job fatal kind=ZeroDivisionError error=integer division or modulo by zero (told)",
    ]


def test_an_error_raised_from_another_refers_to_it(publisher: MemoryPublisher) -> None:
    with pytest.raises(RuntimeError):
        with start("job", publisher) as job, job.phase("work"):
            try:
                with job.tool("fetch", "c1"):
                    raise ConnectionError("refused")
            except ConnectionError as error:
                raise RuntimeError("no page") from error
    assert told(publisher).splitlines()[-2:] == [
        "  phase_update work failed kind=chain error_kind=RuntimeError (told)",
        "error job fatal kind=RuntimeError error=no page (told)",
    ]


def test_async_blocks_keep_their_places_apart(publisher: MemoryPublisher) -> None:
    async def branch(job: Handler, name: str) -> None:
        async with job.phase(name):
            await asyncio.sleep(0)
            async with job.tool("wait", f"c-{name}") as call:
                await asyncio.sleep(0)
                call.output(name)

    async def run() -> None:
        async with start("job", publisher) as job:
            async with job.phase("both"):
                await asyncio.gather(branch(job, "left"), branch(job, "right"))

    asyncio.run(run())
    runs = {e.data.get("name"): e.data for e in publisher.events("job") if e.data.get("status") == "started"}
    calls = {e.data["call_id"]: e.data for e in publisher.events("job") if e.type == "tool_call"}
    for name in ("left", "right"):
        assert runs[name]["parent_run_id"] == runs["both"]["run_id"]
        assert calls[f"c-{name}"]["parent_run_id"] == runs[name]["run_id"]


def test_threads_take_the_place_that_is_given_to_them(publisher: MemoryPublisher) -> None:
    job = start("job", publisher)
    with job.phase("all") as whole:
        copied = contextvars.copy_context()
        threads = [
            threading.Thread(target=lambda: job.phase("explicit", parent=whole).end()),
            threading.Thread(target=lambda: copied.run(lambda: job.phase("inherited").end())),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    job.end()
    started = [e.data for e in publisher.events("job") if e.data.get("status") == "started"]
    assert [e.get("parent_run_id") for e in started if e["phase"] in ("explicit", "inherited")] == [whole.id] * 2


def test_many_threads_at_once_lose_nothing(publisher: MemoryPublisher) -> None:
    job = start("job", publisher)

    def work(n: int) -> None:
        for i in range(50):
            with job.phase(f"p{n}"), job.model("m") as model:
                for piece in ("a", "b", "c"):
                    model.delta(piece)
                job.custom("step", [n, i])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.end()
    events = publisher.events("job")
    assert [e.data["value"] for e in events if e.type == "custom" and e.data["value"][0] == 3] == [[3, i] for i in range(50)]
    whole = [e.data["content"] for e in events if e.data.get("status") == "completed" and e.type == "thought"]
    assert whole == ["abc"] * 400
    assert events[-1].type == "done"
    assert job.strays == 0


def test_a_generator_that_is_collected_ends_its_run(publisher: MemoryPublisher) -> None:
    job = start("job", publisher)

    def pieces() -> Iterator[str]:
        with job.model("m") as model:
            for piece in ("a", "b"):
                model.delta(piece)
                yield piece

    stream = pieces()
    next(stream)
    del stream
    gc.collect()
    job.end()
    assert "error llm kind=aborted error=GeneratorExit" in told(publisher)


def test_errors_and_what_they_hold_are_not_kept_alive(publisher: MemoryPublisher) -> None:
    class Held:
        pass

    def fail() -> weakref.ref[Held]:
        held = Held()
        try:
            with job.phase("work"):
                raise ValueError(held)
        except ValueError:
            return weakref.ref(held)

    job = start("job", publisher)
    held = fail()
    gc.collect()
    assert held() is None
    job.end()


@pytest.mark.parametrize("breaks_off", [asyncio.CancelledError(), KeyboardInterrupt(), GeneratorExit()], ids=repr)
@pytest.mark.parametrize("asked", [True, False], ids=["asked", "not asked"])
def test_work_that_is_broken_off(publisher: MemoryPublisher, breaks_off: BaseException, asked: bool) -> None:
    job = start("job", publisher)
    if asked:
        publisher.cancel("job", by="ann", reason="enough")
        assert job.wait_cancelled(30)
    job.end(error=breaks_off)
    last = told(publisher).splitlines()[-1]
    kind = type(breaks_off).__name__
    assert last == ("cancelled by=ann reason=enough" if asked else f"error job fatal kind=aborted error={kind}")


def test_an_agent_that_looks_whether_it_should_stop(publisher: MemoryPublisher) -> None:
    with pytest.raises(StopRequested, match="asked to stop by ann: enough"):
        with start("job", publisher) as job:
            job.raise_if_cancelled()
            publisher.cancel("job", by="ann", reason="enough")
            wait_for(lambda: job.cancelled)
            job.raise_if_cancelled()
    assert told(publisher).splitlines()[-1] == "cancelled by=ann reason=enough"


def test_an_agent_that_awaits_the_request_to_stop(publisher: MemoryPublisher) -> None:
    async def run() -> str:
        async with start("job", publisher) as job:
            publisher.cancel("job", by="ann")
            asked = await job.await_cancelled()
            assert asked is not None
            return asked.by

    assert asyncio.run(run()) == "ann"


def test_a_job_that_waits_for_input_is_not_ended_by_its_block(publisher: MemoryPublisher) -> None:
    with start("job", publisher) as job:
        job.interrupt("Publish?")
    assert told(publisher).splitlines()[-1] == "phase_update job interrupted asks=['Publish?']"
    with start("job", publisher) as job:
        job.resume(True)
    assert told(publisher).splitlines()[-1] == "done"


def test_closing_ends_a_job_that_only_waited_for_another_root(publisher: MemoryPublisher) -> None:
    job = start("job", publisher, automatic=True, grace=3600)
    job.phase("root").end("result")
    assert not job.ended
    assert job.close()
    assert told(publisher).splitlines()[-1] == "done output=result"


def test_an_automatic_end_in_real_time(publisher: MemoryPublisher) -> None:
    job = start("job", publisher, automatic=True, grace=0.05)
    job.phase("root").end()
    wait_for(lambda: job.ended, "the end")
    assert told(publisher).splitlines()[-1] == "done"


def test_secrets_are_redacted_before_they_are_cut(publisher: MemoryPublisher) -> None:
    def redact(event_type: str, field: str, value: str) -> str:
        return value.replace("s3cr3t", "***")

    job = start("job", publisher, redact=redact, max_field_bytes=10)
    with job.model("m", input={"key": "s3cr3t"}) as model:
        model.delta("say s3c")
        model.delta("r3t")
    job.tool("t", "c", "12345678s3cr3t").end("s3cr3t")
    job.end(error=ValueError("s3cr3t"))
    text = "".join(e.json for e in publisher.events("job"))
    assert "s3cr3t" not in text
    assert "12345678**" in text


def test_a_hook_that_raises_publishes_nothing_of_the_value(
    publisher: MemoryPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    def redact(event_type: str, field: str, value: str) -> str:
        raise RuntimeError("hook")

    job = start("job", publisher, redact=redact)
    with caplog.at_level(logging.CRITICAL):
        job.tool("t", "c", "s3cr3t").end("s3cr3t")
        job.end()
    assert "s3cr3t" not in "".join(e.json for e in publisher.events("job"))
    assert "left out" in publisher.events("job")[1].data["input"]


def test_bad_arguments_never_raise(publisher: MemoryPublisher, caplog: pytest.LogCaptureFixture) -> None:
    bad: Any = object()
    job = start("job", publisher)
    with caplog.at_level(logging.CRITICAL):
        for run in (job.phase(bad), job.model(bad), job.tool(bad, bad)):
            run.progress(bad, bad)
            run.interrupt(bad)
            run.resume(bad)
            run.custom(bad, bad)
            run.state(bad)
            run.end(bad, bad)
        model = job.model("m")
        model.delta(bad)
        model.usage(bad, bad)
        model.cost(bad)
        model.finish_reason(bad)
        model.tool_call(bad, bad, bad)
        model.end(bad)
        job.custom(bad)
        job.emit(bad, bad)
        job.error(bad)
    job.end()
    assert publisher.events("job")[-1].type == "done"


def test_ids_are_unique_sorted_by_time_and_uuids() -> None:
    random.seed(1)
    ids = [new_id() for _ in range(10_000)]
    random.seed(1)
    ids += [new_id() for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    assert [i[:13] for i in ids] == sorted(i[:13] for i in ids)
    assert {(uuid.UUID(i).version, uuid.UUID(i).variant) for i in ids} == {(7, uuid.RFC_4122)}


def test_a_handler_without_a_publisher_runs_unobserved() -> None:
    with start("job", None) as job, job.phase("work"), job.model("m") as model:
        model.delta("x")
        assert not job.cancelled
    assert job.close()
