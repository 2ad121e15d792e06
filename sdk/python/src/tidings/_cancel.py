"""Asking a job to stop, and being asked.

A worker that publishes a job is told by its `JobPublisher` (`cancelled`,
`wait_cancelled`) or its handler. The functions here are for whoever else wants to
know, and for who asks.
"""

from __future__ import annotations

from contextlib import aclosing
from json import dumps
from typing import Any

import httpx

from ._http import async_transport, headers, job_path, network_error, response_error, server_url, transport
from .errors import UnavailableError, UnknownJobError
from ._follow import afollow
from .publisher import StopRequest

_TIMEOUT = httpx.Timeout(30.0, connect=5.0).as_dict()


def cancel(
    job_id: str,
    *,
    reason: str = "",
    by: str = "",
    url: str | None = None,
    token: str | None = None,
    verify: Any = True,
) -> None:
    """Ask a job to stop. It stops when its worker does; asking again changes
    nothing. Raises `UnknownJobError`, `ClosedError` if it has ended, `AuthError`,
    `UnavailableError`."""
    _call(_asking(job_id, reason, by, url, token), server_url(url), verify)


async def acancel(
    job_id: str,
    *,
    reason: str = "",
    by: str = "",
    url: str | None = None,
    token: str | None = None,
    verify: Any = True,
) -> None:
    """Ask a job to stop, in an event loop: see `cancel`."""
    await _acall(_asking(job_id, reason, by, url, token), server_url(url), verify)


def stop_request(
    job_id: str, *, url: str | None = None, token: str | None = None, verify: Any = True
) -> StopRequest | None:
    """Say who asked the job to stop, and why; None if nobody did. Raises as `cancel` does."""
    return _told(_call(_looking(job_id, url, token), server_url(url), verify))


async def astop_request(
    job_id: str, *, url: str | None = None, token: str | None = None, verify: Any = True
) -> StopRequest | None:
    """Say who asked the job to stop, in an event loop: see `stop_request`."""
    return _told(await _acall(_looking(job_id, url, token), server_url(url), verify))


async def await_cancel(
    job_id: str, *, url: str | None = None, token: str | None = None, verify: Any = True
) -> StopRequest | None:
    """Wait until the job is asked to stop, and give by whom; None: it has ended. A
    job that does not exist yet, and a server that is away, are waited for."""
    try:
        asked = await astop_request(job_id, url=url, token=token, verify=verify)
        if asked is not None:
            return asked  # its event may have been trimmed since
    except (UnknownJobError, UnavailableError):
        pass
    events = afollow(
        job_id, url=url, token=token, types=["cancel_requested"], wait=True, on_notice=_ignore, verify=verify
    )
    try:
        async with aclosing(events):
            async for event in events:
                data = event.data if isinstance(event.data, dict) else {}
                return StopRequest(str(data.get("by", "")), str(data.get("reason", "")))
    except UnknownJobError:
        pass  # it was deleted
    return None


def _ignore(notice: object) -> None:
    """Take notice of a gap, and go on: the request may still come."""


def _asking(job_id: str, reason: str, by: str, url: str | None, token: str | None) -> httpx.Request:
    body = dumps({k: v for k, v in (("reason", reason), ("by", by)) if v}, ensure_ascii=False)
    return httpx.Request(
        "POST",
        server_url(url) + job_path(job_id, "cancel"),
        headers=headers(token) | {"Content-Type": "application/json"},
        content=body.encode("utf-8", "replace"),
        extensions={"timeout": _TIMEOUT},
    )


def _looking(job_id: str, url: str | None, token: str | None) -> httpx.Request:
    return httpx.Request(
        "GET", server_url(url) + job_path(job_id), headers=headers(token), extensions={"timeout": _TIMEOUT}
    )


def _call(request: httpx.Request, url: str, verify: Any) -> Any:
    with transport(url, verify) as connections:
        try:
            response = connections.handle_request(request)
            response.read()
        except httpx.HTTPError as error:
            raise network_error(url, error) from error
    return _judge(response)


async def _acall(request: httpx.Request, url: str, verify: Any) -> Any:
    async with async_transport(url, verify) as connections:
        try:
            response = await connections.handle_async_request(request)
            await response.aread()
        except httpx.HTTPError as error:
            raise network_error(url, error) from error
    return _judge(response)


def _judge(response: httpx.Response) -> Any:
    if response.status_code >= 300:
        raise response_error(response)
    return response.json()


def _told(job: Any) -> StopRequest | None:
    asked = job.get("cancel") if isinstance(job, dict) else None
    if not asked:
        return None
    return StopRequest(str(asked.get("by", "")), str(asked.get("reason", "")))
