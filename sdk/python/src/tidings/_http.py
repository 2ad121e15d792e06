"""What all requests to a Tidings server have in common."""

from __future__ import annotations

# In a child that was forked while another thread imported them, for a request,
# these could never be imported again.
import encodings.idna  # noqa: F401
import os
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore  # noqa: F401
import httpx

from .errors import (
    AuthError,
    ClosedError,
    FencedError,
    InvalidError,
    ProblemError,
    SequenceError,
    TidingsError,
    TooLargeError,
    UnavailableError,
    UnknownJobError,
)
from .publisher import check_job_id

DEFAULT_URL = "http://127.0.0.1:8080"
_MAX_RETRY_AFTER = 300.0


def server_url(url: str | None) -> str:
    """Give the URL of the server: the one given, TIDINGS_URL, or that of a local one."""
    chosen = (url or os.environ.get("TIDINGS_URL") or DEFAULT_URL).rstrip("/")
    if not chosen.startswith(("http://", "https://")):
        raise InvalidError(f"{chosen!r} can't be the URL of a Tidings server: it begins with http:// or https://")
    if "@" in urlsplit(chosen).netloc:  # it would stand in logs
        raise InvalidError("the URL of a Tidings server has no user and password: give a token, or headers")
    return chosen


def headers(token: str | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give the headers of every request; the token given, or TIDINGS_TOKEN."""
    out = {"User-Agent": "tidings-python", "Accept": "application/json", **(more or {})}
    secret = (token or os.environ.get("TIDINGS_TOKEN") or "").strip()  # read from a file, it ends a line
    if secret:
        if not _TOKEN.fullmatch(secret):
            raise AuthError("the token has characters that no token has: give it as it was issued, on one line")
        out["Authorization"] = f"Bearer {secret}"
    return out


_TOKEN = re.compile("[!-~]+")


def transport(url: str, verify: Any) -> httpx.HTTPTransport:
    """Make a pool of connections: not a client, which would log every request."""
    return httpx.HTTPTransport(**_settings(url, verify))


def async_transport(url: str, verify: Any) -> httpx.AsyncHTTPTransport:
    """Make a pool of connections for an event loop."""
    return httpx.AsyncHTTPTransport(**_settings(url, verify))


def _settings(url: str, verify: Any) -> dict[str, Any]:
    target = urlsplit(url)
    proxy = None if proxy_bypass(target.hostname or "") else getproxies().get(target.scheme)
    return {"verify": verify if target.scheme == "https" else False, "proxy": proxy}


def job_path(job_id: str, sub: str = "") -> str:
    """Give the path of a job, or of a part of it. Raises `InvalidError`."""
    check_job_id(job_id)
    path = "/v1/jobs/" + quote(job_id, safe="", errors="replace")
    return f"{path}/{sub}" if sub else path


def network_error(url: str, error: Exception) -> UnavailableError:
    """Give the error of a request that got no answer."""
    return UnavailableError(f"can't reach {url}: {error or type(error).__name__}; does the server run there?")


def problem(response: httpx.Response) -> dict[str, Any]:
    """Read the body of an answer that is no success (RFC 9457)."""
    try:
        told = response.json()
    except Exception:  # of a proxy, or cut off
        told = {}
    return told if isinstance(told, dict) else {}


def response_error(response: httpx.Response) -> TidingsError:
    """Map an answer that is no success, and has been read, to an error."""
    told = problem(response)
    status = response.status_code
    detail = str(told.get("detail") or told.get("title") or response.reason_phrase)
    match str(told.get("type", "")).rpartition("/")[2]:
        case "invalid":
            return InvalidError(detail)
        case "too-large":
            return TooLargeError(detail)
        case "unknown-job":
            return UnknownJobError(detail)
        case "closed":
            return ClosedError(detail)
        case "fenced":
            return FencedError(detail, _number(response, "Producer-Epoch", told.get("current_epoch")))
        case "sequence":
            return SequenceError(detail, _number(response, "Producer-Expected-Seq", told.get("expected_seq")))
    if status in (401, 403):
        return AuthError(f"the server answers {status}: {detail}; give a token that covers this, or set TIDINGS_TOKEN")
    if status >= 500 or status in (408, 429):
        return UnavailableError(f"the server answers {status}: {detail}", retry_after(response))
    if status == 413:
        return TooLargeError(detail)
    return ProblemError(f"the server answers {status}: {detail}", status)


def _number(response: httpx.Response, header: str, fallback: object) -> int:
    for text in (response.headers.get(header), fallback):
        try:
            return int(str(text))
        except ValueError:
            continue
    return 0


def retry_after(response: httpx.Response) -> float:
    """Read the header, in both forms of RFC 9110, as seconds."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time()
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)
