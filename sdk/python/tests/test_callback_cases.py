"""The callback cases that the handlers of all languages pass."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from callback_cases import CASES, Event, Player, joined, load

from tidings.memory import MemoryPublisher, Stored


def test_there_are_cases() -> None:
    assert len(CASES) > 40


@pytest.mark.parametrize("name", CASES)
def test_callback_case(name: str) -> None:
    case = load(name)
    publisher = MemoryPublisher(cancel_poll=0.01)

    def request_stop(by: str, reason: str) -> None:
        asked = {"by": by, "reason": reason}
        with publisher._memory_lock:
            publisher._logs["job"].append(Stored("cancel_requested", asked, json.dumps(asked), ""))
        publisher.cancel("job", by, reason)

    player = Player(case, publisher, "job", request_stop)
    player.play()
    got = [{"event_type": e.type, "data": json.loads(e.json, parse_float=Decimal)} for e in publisher.events("job")]
    publisher.close()
    assert exact(joined(got)) == exact(joined(case["events"])), case["about"]
    assert player.job.strays == case["strays"]


def exact(events: list[Event]) -> Any:
    """Make numbers comparable digit for digit."""
    return json.loads(json.dumps(events, default=lambda number: ["number", *map(str, number.as_tuple())]))
