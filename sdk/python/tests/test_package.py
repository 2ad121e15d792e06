"""What is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from conftest import run_python

HERE = Path(__file__).resolve().parents[1]


def test_the_wheel_holds_the_scripts_and_the_types(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(HERE)],
        check=True, timeout=120,
    )  # fmt: skip
    shutil.rmtree(HERE / "build", ignore_errors=True)  # the next wheel must not hold what is there
    (wheel,) = tmp_path.glob("tidings-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {f"tidings/{p.relative_to(HERE / 'src' / 'tidings')}" for p in (HERE / "src" / "tidings").rglob("*.*")}
    wanted = {s for s in sources if "__pycache__" not in s}
    assert {"tidings/py.typed", "tidings/lua/append.lua", "tidings/celery.py"} <= wanted <= names


def test_the_package_needs_nothing_but_an_http_client() -> None:
    code = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("redis", "celery", "kombu", "langchain_core", "langgraph", "pydantic"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Refuse())
import tidings, tidings.handler, tidings.http, tidings.memory
"""
    result = run_python(code)
    assert result.returncode == 0, result.stderr
