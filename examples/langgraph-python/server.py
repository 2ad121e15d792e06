"""A Tidings server for the time of the example."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def program(folder: str) -> str:
    """Give the `tidings` program: the one in PATH, or one built from this checkout."""
    found = shutil.which("tidings")
    if found:
        return found
    if shutil.which("go") is None:
        raise SystemExit("langgraph-python: neither tidings nor go is in PATH; set TIDINGS_URL to a running server")
    built = str(Path(folder) / "tidings")
    subprocess.run(["go", "build", "-o", built, "./cmd/tidings"], cwd=ROOT, check=True)
    return built


@contextmanager
def started() -> Iterator[tuple[str, str]]:
    """Start a server on a free port, and give its URL and the program that it is."""
    with tempfile.TemporaryDirectory() as folder:
        tidings = program(folder)
        serve = [tidings, "serve", "--addr", "127.0.0.1:0", "--data", f"{folder}/data"]
        process = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            line = next((line for line in process.stdout if "serves on" in line), None)
            if line is None:
                raise SystemExit(f"langgraph-python: the server did not start: {' '.join(serve)}")
            yield line.split("serves on ")[1].split()[0], tidings
        finally:
            process.terminate()
            process.wait(20)
