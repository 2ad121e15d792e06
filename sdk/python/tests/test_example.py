"""The example examples/langgraph-python, as people run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import PATIENCE, ROOT, Server, python_env
from outline import outline
from test_agent_delivery import stored

FOLDER = ROOT / "examples" / "langgraph-python"


def run(*args: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "main.py", "--pace", "0", *args],
        cwd=FOLDER, env=python_env(**env), capture_output=True, text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_starts_a_server_and_shows_each_job(tidings_binary: Path) -> None:
    path = f"{tidings_binary.parent}{os.pathsep}{os.environ['PATH']}"
    shown = run(PATH=path)
    for line in (
        "a server is started for this",
        "» Let me look.",
        "← weather",
        "sunny in Oslo",
        "no weather station in Atlantis",
        "▸ apologise",
        "■ done",
        "✗ job error: the model's server closed the connection",
    ):
        assert line in shown


def test_with_a_server_it_says_how_to_watch(server: Server) -> None:
    shown = run("How is the weather in Atlantis?", TIDINGS_URL=server.url)
    found = re.search(r"watch it: +tidings tail (\S+) --url (\S+)", shown)
    assert found is not None
    assert found[2] == server.url
    lines = outline(stored(server, found[1])).splitlines()
    assert '      thought delta text "Let me look."' in lines
    assert "      tool_result weather call-0 error_kind=LookupError error=no weather station in Atlantis" in lines
    assert lines[-1].startswith("done")
    assert server.job(found[1])["name"] == "How is the weather in Atlantis?"
