"""Connections to Redis of this package's own, made like those of a client.

A client's own calls won't do: redis-py repeats a command whose answer was lost,
which is for the producer's sequence to do; an asyncio client belongs to its
event loop; and a pool that was in use while the process forked may be locked for
ever. So only settings are taken from the client that a user gives.
"""

from __future__ import annotations

# In a child that was forked while another thread imported them, these could
# never be imported again.
import encodings.idna  # noqa: F401
import threading
from typing import Any, Final

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.crc import key_slot
from redis.exceptions import MovedError, RedisError, ResponseError

from .errors import InvalidError, TidingsError, UnavailableError

_SETTINGS: Final = (
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name",
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "protocol",
)  # fmt: skip

_KINDS: Final[dict[type, type]] = {
    redis.Connection: redis.Connection,
    redis.SSLConnection: redis.SSLConnection,
    redis.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
    redis.asyncio.Connection: redis.Connection,
    redis.asyncio.SSLConnection: redis.SSLConnection,
    redis.asyncio.UnixDomainSocketConnection: redis.UnixDomainSocketConnection,
}


def connections(client: Any) -> Connections:
    """Make connections like those of a redis-py client, sync or asyncio, of one
    server, a group with Sentinels, or a Cluster; or to the URL of one server."""
    if isinstance(client, str):
        client = redis.Redis.from_url(client)
    if isinstance(client, (redis.cluster.RedisCluster, redis.asyncio.cluster.RedisCluster)):
        return _Cluster(client)
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        raise InvalidError(f"{type(client).__name__} is no client of redis-py, and no URL")
    if isinstance(pool, redis.asyncio.sentinel.SentinelConnectionPool):
        return _Sentinels(pool)
    if pool.connection_class in _KINDS:
        return _One(_KINDS[pool.connection_class], pool.connection_kwargs)
    if isinstance(client, redis.asyncio.Redis):
        raise InvalidError(f"connections like those of {type(client).__name__} can't be made here; give a sync client")
    return _Borrowed(pool)


class Connections:
    """Sends commands, each once. Safe for concurrent use."""

    def call(self, key: str, *command: str | bytes | int) -> Any:
        """Send a command to the server of the key, and give its answer with bytes
        for strings. Raises `ResponseError` of redis-py, or `UnavailableError`."""
        try:
            return self._call(key, command)
        except ResponseError:
            raise
        except (RedisError, OSError) as error:
            raise UnavailableError(f"can't reach Redis: {error}") from error

    def _call(self, key: str, command: tuple[str | bytes | int, ...]) -> Any:
        return on_pool(self.pool(key), command)

    def pool(self, key: str) -> Any:
        """Give the pool of connections to the server of the key."""
        raise NotImplementedError

    def reset(self) -> None:
        """Use no connection of the parent any more: this is a forked child."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""


def on_pool(pool: Any, command: tuple[str | bytes | int, ...]) -> Any:
    """Send a command over a connection of the pool, once."""
    connection = pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response(disable_decoding=True)
    except ResponseError:
        raise
    except BaseException:  # an answer may still be under way
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def settings(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Give those of a client's settings that say where its server is, and how to get in."""
    return {k: v for k, v in kwargs.items() if (k in _SETTINGS or k.startswith("ssl_")) and v is not None}


class _One(Connections):
    """One server."""

    def __init__(self, kind: type, kwargs: dict[str, Any]) -> None:
        self._kind = kind
        self._settings = settings(kwargs)
        self.reset()

    def pool(self, key: str) -> Any:
        return self._pool

    def reset(self) -> None:
        self._pool = redis.ConnectionPool(connection_class=self._kind, **self._settings)

    def close(self) -> None:
        self._pool.disconnect()


class _Borrowed(Connections):
    """A pool of the user's: of Sentinels, or with connections of another kind."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def pool(self, key: str) -> Any:
        return self._pool

    def reset(self) -> None:
        self._pool.reset()


class _Sentinels(_Borrowed):
    """The servers that a group of Sentinels names, given an asyncio client."""

    def __init__(self, pool: Any) -> None:
        asked = [settings(s.connection_pool.connection_kwargs) for s in pool.sentinel_manager.sentinels]
        nodes = [(s.pop("host"), s.pop("port")) for s in asked]
        make: Any = redis.sentinel.Sentinel  # untyped
        group = make(nodes, sentinel_kwargs=asked[0])
        more = settings(pool.connection_kwargs)
        more.pop("host", None)
        more.pop("port", None)
        super().__init__(group.master_for(pool.service_name, **more).connection_pool)


class _Cluster(Connections):
    """The nodes of a Cluster."""

    def __init__(self, client: Any) -> None:
        manager = client.nodes_manager
        kwargs = dict(manager.connection_kwargs)
        secure = kwargs.get("ssl") or "SSL" in getattr(kwargs.get("connection_class"), "__name__", "")
        self._kind = redis.SSLConnection if secure else redis.Connection
        self._settings = settings(kwargs)
        self._remap = getattr(manager, "remap_host_port", lambda host, port: (host, port))
        nodes = list(client.get_nodes()) or list(manager.startup_nodes.values())
        self._known = [(node.host, int(node.port)) for node in nodes]
        self.reset()

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, int], Any] = {}
        self._slots: list[tuple[int, int, tuple[str, int]]] = []

    def close(self) -> None:
        for pool in self._pools.values():
            pool.disconnect()

    def _call(self, key: str, command: tuple[str | bytes | int, ...]) -> Any:
        try:
            return super()._call(key, command)
        except MovedError:  # nothing was done
            self._forget()
            return super()._call(key, command)
        except ResponseError:
            raise
        except (RedisError, OSError):
            self._forget()  # a failover may be under way
            raise

    def _forget(self) -> None:
        with self._lock:
            self._slots = []

    def pool(self, key: str) -> Any:
        slot = key_slot(key.encode("utf-8", "replace"))
        with self._lock:
            slots = self._slots
        if not slots:
            slots = self._ask()
        for first, last, node in slots:
            if first <= slot <= last:
                return self._pool_of(node)
        raise UnavailableError(f"no node of the Cluster serves slot {slot}; look at CLUSTER INFO")

    def _pool_of(self, node: tuple[str, int]) -> Any:
        with self._lock:
            if node not in self._pools:
                more = {**self._settings, "host": node[0], "port": node[1]}
                self._pools[node] = redis.ConnectionPool(connection_class=self._kind, **more)
            return self._pools[node]

    def _ask(self) -> list[tuple[int, int, tuple[str, int]]]:
        """Ask one node after another who serves what."""
        failure: Exception | None = None
        for node in list(dict.fromkeys([*self._known, *self._pools])):
            try:
                rows = on_pool(self._pool_of(node), ("CLUSTER", "SLOTS"))
            except (RedisError, OSError) as error:
                failure = error
                continue
            slots = []
            for first, last, master, *_ in rows:
                host = master[0].decode() if master[0] else node[0]
                slots.append((int(first), int(last), self._remap(host, int(master[1]))))
            with self._lock:
                self._slots = slots
            return slots
        raise UnavailableError(f"no node of the Cluster answers: {failure}")


_HINTS: Final = {
    "OOM": "Redis' memory is full: give it more, or delete jobs",
    "MISCONF": "Redis can't write to its disk: free space or look at its log",
    "READONLY": "this server is a replica: a failover is under way, or the address is the wrong one",
    "NOPERM": "the user lacks a permission, see docs/redis.md",
    "NOAUTH": "the client needs a password",
    "WRONGPASS": "user or password are wrong",
}


def response_error(error: ResponseError, key: str) -> TidingsError:
    """Give the error for a command that Redis refused."""
    text = str(error)
    if "WRONGTYPE" in text:
        return InvalidError(f"the Redis key {key} or its companion holds something else than a job's log")
    hint = next((advice for word, advice in _HINTS.items() if word in text), "")
    return UnavailableError(f"Redis answers: {text}" + (f"; {hint}" if hint else ""))
