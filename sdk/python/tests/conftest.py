"""What the tests run against: a real Tidings server and real Redis servers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]
SRC = Path(__file__).resolve().parents[1] / "src"
PATIENCE = 60.0

os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
for _name in ("TIDINGS_URL", "TIDINGS_TOKEN"):
    os.environ.pop(_name, None)


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Any], what: str = "the condition", timeout: float = PATIENCE) -> Any:
    """Give the condition's value once it is true."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {timeout:.0f} s")
        time.sleep(0.02)


def python_env(**more: str) -> dict[str, str]:
    """Give the environment of a Python process that finds the package."""
    path = os.pathsep.join([str(SRC), str(Path(__file__).parent)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def run_python(code: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    return subprocess.run(
        [sys.executable, "-c", code, *args], env=python_env(**env), capture_output=True, text=True, timeout=PATIENCE
    )


class Process:
    """A server that was started, with what it wrote."""

    def __init__(self, command: list[str], **more: Any) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_line(self, text: str) -> str:
        """Give the first line with the text in it, once it is there."""

        def found() -> str | None:
            return next((line for line in self.lines if text in line), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self.popen.poll() is not None, PATIENCE)
        line = found()
        assert line is not None, f"no line with {text!r}:\n" + "\n".join(self.lines)
        return line

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it, and wait for that."""
        if self.popen.poll() is None:
            self.popen.send_signal(how)
            try:
                self.popen.wait(20)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(20)
        self._reader.join(5)


@pytest.fixture(scope="session")
def tidings_binary() -> Path:
    """The server's program, built from this checkout."""
    if shutil.which("go") is None:
        pytest.skip("the Go tool chain is not installed: there is no server to test against")
    cache = Path(__file__).resolve().parents[1] / ".cache"
    cache.mkdir(exist_ok=True)
    program = cache / "tidings"
    subprocess.run(["go", "build", "-o", str(program), "./cmd/tidings"], cwd=ROOT, check=True, timeout=600)
    return program


class Server:
    """A Tidings server that can be killed and started again at its address."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [str(program), "serve", "--addr", f"127.0.0.1:{self.port}", "--data", str(folder), *options]
        self.process: Process | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes appends."""
        self.process = Process(self._command)
        self.process.wait_line("Tidings serves on")
        wait_for(self._ready, "the server's being ready")

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self.url + "/readyz", trust_env=False).status_code == 200
        return False

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        if self.process is not None:
            self.process.stop(how)

    def events(self, job_id: str, **query: str) -> list[dict[str, Any]]:
        """Give the job's history; nothing, if there is no such job."""
        answer = httpx.get(
            f"{self.url}/v1/jobs/{job_id}/events", params={"limit": "10000", **query}, trust_env=False, timeout=30
        )
        if answer.status_code == 404:
            return []
        answer.raise_for_status()
        events: list[dict[str, Any]] = answer.json()["events"]
        return events

    def job(self, job_id: str) -> dict[str, Any]:
        """Give the job's summary, as the server tells it."""
        answer = httpx.get(f"{self.url}/v1/jobs/{job_id}", trust_env=False, timeout=30)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture(scope="session")
def server(tidings_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the embedded store, shared by all tests: let it run."""
    it = Server(tidings_binary, tmp_path_factory.mktemp("data"))
    yield it
    it.stop()


@pytest.fixture
def own_server(tidings_binary: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of this test alone, which may kill it."""
    it = Server(tidings_binary, tmp_path / "data")
    yield it
    it.stop()


class Redis:
    """A Redis server that was started for the tests."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", "--appendonly", "yes", "--appendfsync", "no", *options,
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.process = Process(self._command)
        self.process.wait_line("Ready to accept connections")

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        self.process.stop(how)


def _need_redis() -> None:
    if shutil.which("redis-server") is None:
        if os.environ.get("TIDINGS_REQUIRE_REDIS"):
            pytest.fail("redis-server is not installed")
        pytest.skip("redis-server is not installed")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis server shared by all tests: let it run."""
    _need_redis()
    it = Redis(tmp_path_factory.mktemp("redis"))
    yield it
    it.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis server of this test alone, which may kill it."""
    _need_redis()
    folder = tmp_path / "redis"
    folder.mkdir()
    it = Redis(folder)
    yield it
    it.stop()


@pytest.fixture(scope="session")
def redis_backed_server(
    tidings_binary: Path, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A Tidings server over the shared Redis."""
    it = Server(tidings_binary, tmp_path_factory.mktemp("none"), "--redis", redis_server.url)
    yield it
    it.stop()


@pytest.fixture
def job_id() -> str:
    """An ID that no other test uses."""
    return f"job-{uuid.uuid4()}"


class Cluster:
    """A Redis Cluster of three nodes."""

    def __init__(self, folder: Path) -> None:
        self.nodes: list[Redis] = []
        buses = [free_port() for _ in range(3)]
        for n in range(3):
            (folder / str(n)).mkdir()
            options = ("--cluster-enabled", "yes", "--cluster-port", str(buses[n]))
            self.nodes.append(Redis(folder / str(n), *options))
        import redis

        clients = [redis.Redis(port=node.port) for node in self.nodes]
        for n, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", n * 5462, min(n * 5462 + 5461, 16383))
            if n:
                clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[n].port, buses[n])
        for client in clients:
            wait_for(lambda c=client: b"cluster_state:ok" in _info(c), "the Cluster's being ready")
            wait_for(lambda c=client: b"cluster_known_nodes:3" in _info(c), "the nodes' knowing each other")
            client.close()

    def stop(self) -> None:
        """End it."""
        for node in self.nodes:
            node.stop()


def _info(client: Any) -> bytes:
    told = client.execute_command("CLUSTER INFO")
    return told if isinstance(told, bytes) else "\n".join(f"{k}:{v}" for k, v in told.items()).encode()


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Redis Cluster shared by all tests: let it run."""
    _need_redis()
    it = Cluster(tmp_path_factory.mktemp("cluster"))
    yield it
    it.stop()
