"""Server-Sent Events, as a Tidings server sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Message(NamedTuple):
    """One message. Events of the job have an ID, what is said about the stream has none."""

    event: str
    id: str
    data: bytes


class Parser:
    """Takes bytes as they come and gives whole messages. Lines end at \\n only: the
    text of an event may hold other separators."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = self._id = ""
        self._data: list[bytes] = []
        self.retry: float | None = None
        """Seconds that the server asks to wait before coming back."""

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Give the messages that the bytes complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line:
                if self._data:
                    yield Message(self._event or "message", self._id, b"\n".join(self._data))
                self._event = self._id = ""
                self._data = []
            else:
                self._field(line)

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry = int(value) / 1000
