"""Any Python value as JSON text, bounded in size and time.

Callbacks run on the agent's thread and see whatever the agent has: messages,
documents, dataframes, open files, generators. `snapshot` makes of each a
readable form at once, so that a later change of the value changes nothing, and
never raises, never consumes an iterator, never reads a property of a class that
it does not know.

Small plain values go through the C encoder of the standard library. What it
can't take, or what is large, is walked in Python with a budget.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections import deque
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from json.encoder import JSONEncoder, encode_basestring
from os import PathLike, fspath
from time import perf_counter
from typing import Any, Final, NamedTuple
from uuid import UUID

try:
    from json.encoder import c_make_encoder  # type: ignore[attr-defined]
except ImportError:
    c_make_encoder = None

DEFAULT_LIMIT: Final = 64 * 1024
"""Bytes from which a value is cut."""

_MAX_NODES: Final = 2_000  # of a value that goes through the C encoder
_MAX_CHARS: Final = 1 << 18  # of all strings in it
_WALK_NODES: Final = 10_000  # that the walk looks at; some 7 ms
_MAX_DEPTH: Final = 100  # of what is walked
_MAX_OBJECT_DEPTH: Final = 8  # of objects within objects
_MAX_INT: Final = 10**300  # readers of JSON fail on numbers beyond a float
_SLOW: Final = 0.002  # seconds after which a class's own text is not asked for again


class Snapshot(NamedTuple):
    """A value as JSON, and how many bytes it took before it was cut.

    `full` is 0 if nothing was cut. Of a value so large that it was not looked
    at to its end, it is what was seen.
    """

    json: str
    full: int


class RawJSON(str):
    """Text that is JSON already: published as it is, not as a string.

    Text that turns out not to be JSON is published as a string.
    """

    __slots__ = ()


class _TooMuch(Exception):
    """The C encoder is not the way for this value."""


def snapshot(value: object, limit: int = DEFAULT_LIMIT) -> Snapshot:
    """Give `value` as compact JSON of at most about `limit` bytes; 0: no limit.

    A string that is too large stays a string; anything else becomes a string
    with the beginning of its JSON. It never raises.
    """
    try:
        if type(value) is str:
            return cut_text(value, limit)
        return _limited(encode(value, limit), limit)
    except RecursionError:
        return Snapshot(quote(f"[a {type_name(value)} that nests too deep]"), 0)
    except Exception as error:  # a fault of the value or of ours: the agent goes on
        return Snapshot(quote(f"[a {type_name(value)} that can't be encoded: {type_name(error)}]"), 0)


def cut_text(text: str, limit: int, full: int = 0) -> Snapshot:
    """Give a string as JSON, its first `limit` bytes if it is larger."""
    if limit <= 0 or len(text) * 4 <= limit:
        return Snapshot(quote(text), full)
    if text.isascii():
        size = len(text)
        return Snapshot(quote(text), full) if size <= limit else Snapshot(quote(text[:limit]), full or size)
    size = _utf8_size(text)
    if size <= limit:
        return Snapshot(quote(text), full)
    head = whole_characters(text[:limit]).encode()[:limit].decode("utf-8", "ignore")
    return Snapshot(quote(head), full or size)


def quote(text: str) -> str:
    """Give a string as JSON. A lone surrogate, which UTF-8 can't hold, becomes U+FFFD."""
    return encode_basestring(text if text.isascii() else whole_characters(text))


def whole_characters(text: str) -> str:
    """Give the text with surrogates joined to characters, or replaced."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LARGE: Final = 1 << 20


def _utf8_size(text: str) -> int:
    """Count the bytes of the text; beyond a million characters by the share of the first."""
    if text.isascii():
        return len(text)
    if len(text) <= _LARGE:
        return len(text.encode("utf-8", "surrogatepass"))  # as many as U+FFFD takes
    return len(text[:_LARGE].encode("utf-8", "surrogatepass")) * len(text) // _LARGE


def _limited(text: str, limit: int) -> Snapshot:
    """Cut what the encoder gave, if it is too large."""
    if isinstance(text, _Beginning):
        return cut_text(text, limit, text.full)
    if limit <= 0 or len(text) * 4 <= limit:
        return Snapshot(text, 0)
    if _utf8_size(text) <= limit:
        return Snapshot(text, 0)
    if text[0] == '"':  # what was no string, but became one
        from json import loads

        return cut_text(loads(text), limit)
    return cut_text(text, limit)


class _Beginning(str):
    """The first part of a value's JSON, not looked at to its end."""

    full: int


# --- the quick way ------------------------------------------------------------

_SCALARS: Final = frozenset({bool, type(None)})


def encode(value: object, limit: int = DEFAULT_LIMIT) -> str:
    """Give the value as JSON, or the beginning of it; may raise on strange values."""
    if isinstance(value, RawJSON):
        return _checked(value)
    quick = _Quick()
    try:
        text = _ENCODE_PLAIN(value) if quick.look(value) else _encoder(quick.default)(value)
    except (_TooMuch, RecursionError, ValueError, TypeError, RuntimeError, AttributeError):
        return _Walk(limit).text(value)
    return text if text.isascii() else whole_characters(text)


class _Quick:
    """One use of the C encoder: what it may spend on the value."""

    __slots__ = ("chars", "nodes", "seen")

    def __init__(self) -> None:
        self.nodes = _MAX_NODES
        self.chars = _MAX_CHARS
        self.seen: set[int] = set()

    def look(self, value: object) -> bool:
        """Raise if the value is large, nests without end or has odd numbers in it; say whether it is plain."""
        nodes, chars, plain = self.nodes, self.chars, True
        todo: list[Any] = [value]
        for item in todo:  # grows while it is read
            kind = type(item)
            if kind is str:
                chars -= len(item)
            elif kind is dict:
                nodes -= len(item)
                if nodes < 0:
                    raise _TooMuch
                todo.extend(item.values())  # the encoder refuses odd keys itself
            elif kind is list or kind is tuple:
                nodes -= len(item)
                if nodes < 0:
                    raise _TooMuch
                todo.extend(item)
            elif kind is int:
                if not -_MAX_INT < item < _MAX_INT:
                    raise _TooMuch
            elif kind is float:
                if item - item != 0.0:  # NaN and infinity
                    raise _TooMuch
            elif kind in _SCALARS:
                pass
            elif isinstance(item, (dict, list, tuple, str, int, float)):
                raise _TooMuch  # a subclass, of which the encoder would not ask us
            else:
                plain = False
        if chars < 0:
            raise _TooMuch
        self.nodes, self.chars = nodes, chars
        return plain

    def default(self, value: object) -> object:
        """Give what stands for an object: the encoder asks for what it does not know."""
        if id(value) in self.seen or len(self.seen) >= 500 or isinstance(value, Decimal):
            raise _TooMuch  # perhaps a cycle
        self.seen.add(id(value))
        plain = plain_form(value)
        self.look(plain)
        return plain


def _encoder(default: Callable[[object], object]) -> Callable[[object], str]:
    """Give a function that makes JSON of plain values, and asks `default` for others."""
    if c_make_encoder is None:  # not CPython
        return JSONEncoder(
            ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"), default=default
        ).encode
    # JSONEncoder makes one anew for every value, which is most of the cost of a small one.
    write = c_make_encoder(None, default, encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(write(value, 0))


def _refuse(value: object) -> object:
    raise _TooMuch


_ENCODE_PLAIN: Final = _encoder(_refuse)


def _checked(text: RawJSON) -> str:
    """Give the text if it is JSON, compact and within what readers take, or else as a string."""
    from json import loads

    try:
        value = loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return quote(text)
    return _Walk(0).text(value)


# --- the walk -----------------------------------------------------------------


class _Full(Exception):
    """The walk has what it needs."""


class _Walk:
    """Writes the JSON of any value: with a budget, and for what the C encoder can't take."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.out: list[str] = []
        self.size = 0
        self.nodes = _WALK_NODES if limit > 0 else 1 << 62
        self.path: set[int] = set()

    def text(self, value: object) -> str:
        whole = True
        try:
            self.write(value, 0, 0)
        except _Full:
            whole = False
        text = "".join(self.out)
        if whole and self.size <= self.limit or self.limit <= 0:
            return text
        beginning = _Beginning(text)
        beginning.full = self.size
        return beginning

    def put(self, text: str) -> None:
        """Keep the piece, or, once there is more than enough, only count it."""
        if self.limit <= 0 or self.size <= self.limit:
            self.out.append(text)
        self.size += _utf8_size(text)

    def write(self, value: Any, depth: int, objects: int) -> None:
        self.nodes -= 1
        if self.nodes < 0:
            raise _Full
        kind = type(value)
        if kind is str:
            self.put_string(value)
        elif value is None or kind is bool:
            self.put("null" if value is None else "true" if value else "false")
        elif isinstance(value, Enum):
            self.write(value.value, depth + 1, objects)
        elif isinstance(value, str):
            self.put_string(str.__str__(value))
        elif isinstance(value, int):
            self.put(_integer(value))
        elif isinstance(value, float):
            self.put(_real(value))
        elif isinstance(value, Decimal):
            self.put(_decimal(value))
        elif depth > _MAX_DEPTH:
            self.put('"[nests too deep]"')
        elif id(value) in self.path:
            self.put('"[a cycle]"')
        else:
            self.path.add(id(value))
            self.write_container(value, depth, objects)
            self.path.discard(id(value))

    def write_container(self, value: Any, depth: int, objects: int) -> None:
        if isinstance(value, dict):
            self.write_members(dict.items(value), depth, objects)
        elif isinstance(value, list):
            self.write_list(list.__iter__(value), depth, objects)
        elif isinstance(value, tuple):
            self.write_list(tuple.__iter__(value), depth, objects)
        elif objects >= _MAX_OBJECT_DEPTH:
            self.put(quote(f"[a {type_name(value)}]"))
        else:
            self.write(plain_form(value), depth + 1, objects + 1)

    def write_members(self, members: Any, depth: int, objects: int) -> None:
        before = "{"
        for key, item in list(members):  # a copy: another thread may change it
            self.put(before)
            self.put_string(_key(key))
            self.put(":")
            self.write(item, depth + 1, objects)
            before = ","
        self.put("{}" if before == "{" else "}")

    def write_list(self, items: Any, depth: int, objects: int) -> None:
        before = "["
        for item in items:
            self.put(before)
            self.write(item, depth + 1, objects)
            before = ","
        self.put("[]" if before == "[" else "]")

    def put_string(self, text: str) -> None:
        """Write a string; of one that is far too large only the beginning."""
        room = self.limit - self.size
        if self.limit <= 0 or len(text) <= room + 1024:
            self.put(quote(text))
            return
        if room > 0:
            self.out.append(quote(text[: room + 8])[:-1])
        self.size += _utf8_size(text) + 2


def _key(key: object) -> str:
    """Give what stands for the key of a member."""
    if type(key) is str:
        return key
    if key is None or isinstance(key, (bool, int, float, Decimal)):
        return _Walk(0).text(key)
    if isinstance(key, str):
        return str.__str__(key)
    form = plain_form(key)
    return form if isinstance(form, str) else _Walk(0).text(form)


def _integer(value: int) -> str:
    if -_MAX_INT < value < _MAX_INT:
        return int.__repr__(value)
    return f'"[an integer of {int.bit_length(value)} bits]"'


def _real(value: float) -> str:
    if value - value == 0.0:
        return float.__repr__(value)
    return '"NaN"' if value != value else '"Infinity"' if value > 0 else '"-Infinity"'


def _decimal(value: Decimal) -> str:
    """Give a decimal digit for digit, as a number if readers can take it for one."""
    text = str(value)
    if value.is_finite() and abs(value.adjusted()) < 300 and len(text) < 1000:
        return text
    return quote(text)


# --- what stands for an object ------------------------------------------------

_Form = Callable[[Any], object]

_forms: dict[type, _Form] = {}
_MAX_FORMS: Final = 2_000  # classes remembered; programs that make classes go on making them


def plain_form(value: object) -> object:
    """Give what stands for an object: a string, number, list or dict, one level deep."""
    kind = type(value)
    form = _forms.get(kind)
    if form is None:
        if len(_forms) >= _MAX_FORMS:
            _forms.clear()
        form = _forms[kind] = _form_of(kind)
    try:
        return form(value)
    except RecursionError:
        raise
    except Exception as error:  # of the value's own methods
        return f"[a {type_name(value)} that can't be read: {type_name(error)}]"


def type_name(value: object) -> str:
    """Give the name of the value's class."""
    return type(value).__name__


def _form_of(kind: type) -> _Form:
    """Choose how values of a class are told, once for each class."""
    for base, form in _KNOWN:
        if issubclass(kind, base):
            return form
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, BaseException):
        return _exception
    if issubclass(kind, type):
        return lambda value: f"[class {value.__name__}]"
    if any(_is_from(base, "langchain_core", "BaseMessage") for base in kind.__mro__):
        return _message
    if any(_is_from(base, "langchain_core", "Document") for base in kind.__mro__):
        return lambda value: {name: item for name, item in value.__dict__.items() if item and name != "type"}
    if hasattr(kind, "dtype") and hasattr(kind, "shape") and hasattr(kind, "tolist"):
        return _array
    if hasattr(kind, "shape") and hasattr(kind, "columns"):
        return lambda value: f"[a {type_name(value)} of shape {value.shape}]"
    if dataclasses.is_dataclass(kind):
        return _fields_of(kind)
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__fields__", None)
    if isinstance(fields, dict):
        return _model_of(fields)
    if issubclass(kind, PathLike):
        return lambda value: fspath(value)
    if hasattr(kind, "__next__") or hasattr(kind, "__anext__") or hasattr(kind, "__await__"):
        return lambda value: f"[a {type_name(value)}]"  # must not be consumed
    if issubclass(kind, Mapping):
        return lambda value: dict(list(value.items())[:_MAX_NODES])
    return _object_of(kind)


def _is_from(base: type, package: str, name: str) -> bool:
    return base.__name__ == name and base.__module__.split(".", 1)[0] == package


def _bytes(value: Any) -> str:
    """Give bytes as text if they are that, and otherwise how they begin."""
    view = memoryview(value).cast("B") if not isinstance(value, (bytes, bytearray)) else value
    try:
        text = bytes(view[:_MAX_CHARS]).decode()
        if len(view) <= _MAX_CHARS and _BINARY.search(text) is None:
            return text
    except UnicodeDecodeError:
        pass
    more = "…" if len(view) > 16 else ""
    return f"[{len(view)} bytes: {bytes(view[:16]).hex()}{more}]"


_BINARY: Final = re.compile("[\x00-\x08\x0e-\x1f]")


def _set(value: Any) -> list[object]:
    """Give a set as a list, in order if its members have one."""
    if len(value) <= 1_000:
        try:
            return sorted(value)
        except Exception:  # of different types
            pass
    return list(value)


def _exception(value: BaseException) -> str:
    text = str(value)
    return f"{type_name(value)}: {text}" if text else type_name(value)


def _array(value: Any) -> object:
    """Give a small array or scalar of numpy or the like as its numbers."""
    shape = tuple(value.shape)
    size = 1
    for length in shape:
        size *= int(length)
    if size <= 1_000:
        return value.tolist()
    return f"[a {type_name(value)} of shape {shape}, {value.dtype}]"


def _message(value: Any) -> dict[str, object]:
    """Give a LangChain message without its many empty fields, and what the model's call tells already."""
    members = value.__dict__
    told = {"type": _CHUNKS.get(members.get("type"), members.get("type")), "content": members.get("content")}
    for name, item in members.items():
        if item and name not in _TOLD_ELSEWHERE and not (name == "status" and item == "success"):
            told.setdefault(name, item)
    calls = told.get("tool_calls")
    if isinstance(calls, list):
        told["tool_calls"] = [_call(call) for call in calls]
    return told


def _call(call: object) -> object:
    """Give what a message asks a tool for, without what is the same in each."""
    return {n: v for n, v in call.items() if n != "type"} if type(call) is dict else call


_TOLD_ELSEWHERE: Final = frozenset({"response_metadata", "usage_metadata", "tool_call_chunks", "chunk_position"})
_CHUNKS: Final[dict[Any, str]] = {  # messages that were streamed are told like others
    "AIMessageChunk": "ai",
    "HumanMessageChunk": "human",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "FunctionMessageChunk": "function",
    "ChatMessageChunk": "chat",
}


def _fields_of(kind: Any) -> _Form:
    """Tell a dataclass by its fields, but for those its author keeps out of its repr."""
    names = [f.name for f in dataclasses.fields(kind) if f.repr]

    def form(value: Any) -> object:
        return {name: getattr(value, name) for name in names if hasattr(value, name)}

    return form


def _model_of(fields: dict[str, Any]) -> _Form:
    """Tell a pydantic model (v1 or v2) by its fields, but for those kept out of its repr."""
    hidden = {
        name
        for name, f in fields.items()
        if getattr(f, "repr", getattr(getattr(f, "field_info", None), "repr", True)) is False
    }

    def form(value: Any) -> object:
        told = {name: item for name, item in value.__dict__.items() if name not in hidden}
        extra = getattr(value, "__pydantic_extra__", None)
        return {**told, **extra} if extra else told

    return form


def _object_of(kind: type) -> _Form:
    """Tell any other object by its public attributes, or else by its own text."""
    slots = [
        name
        for base in kind.__mro__
        for name in _names(base.__dict__.get("__slots__", ()))
        if not name.startswith("_")
    ]

    def form(value: Any) -> object:
        members = getattr(value, "__dict__", None)
        told = {}
        if isinstance(members, dict):
            told = {name: item for name, item in list(members.items()) if not str(name).startswith("_")}
        for name in slots:
            try:
                told[name] = object.__getattribute__(value, name)
            except AttributeError:
                pass
        return told or _own_text(value)

    return form


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


_slow: set[type] = set()
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def _own_text(value: object) -> str:
    """Give the object's own text, unless it has none or takes long for it."""
    kind = type(value)
    if kind in _slow or (kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__):
        return f"[a {kind.__name__}]"
    began = perf_counter()
    text = str(value)
    if perf_counter() - began > _SLOW:
        if len(_slow) >= _MAX_FORMS:
            _slow.clear()
        _slow.add(kind)
    return _ADDRESS.sub("", text)


def _callable(value: Any) -> str:
    return f"[{getattr(value, '__qualname__', None) or getattr(value, '__name__', type_name(value))}]"


_KNOWN: Final[list[tuple[type | tuple[type, ...], _Form]]] = [
    (RawJSON, lambda value: str.__str__(value)),
    ((bytes, bytearray, memoryview), _bytes),
    ((datetime, date, time), lambda value: value.isoformat()),
    (timedelta, lambda value: str(value)),
    (UUID, lambda value: str(value)),
    ((set, frozenset, Set), _set),
    (deque, lambda value: list(value)),
    (complex, lambda value: str(value)),
    (range, lambda value: str(value)),
    (types.ModuleType, lambda value: f"[module {value.__name__}]"),
    ((types.FunctionType, types.BuiltinFunctionType, types.MethodType), _callable),
    (types.MappingProxyType, lambda value: dict(value)),
]
