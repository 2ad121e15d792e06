"""Publishing to a Tidings server over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any

import httpx

from ._http import headers, job_path, network_error, response_error, server_url, transport
from ._queue import Event
from .errors import TidingsError
from .publisher import JobPublisher, Producer, Publisher, Receipt, StopRequest


class HTTPPublisher(Publisher):
    """Publishes to the server at `url` (default: TIDINGS_URL, else a local one).

    `token` (default: TIDINGS_TOKEN) needs the permission to publish. `timeout` is
    how many seconds one request may take before it is repeated. `verify` is what
    httpx takes by that name, for TLS; `headers` are sent with every request. The
    other settings are those of `Publisher`.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        verify: Any = True,
        headers: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.url = server_url(url)
        self._token = token
        self._headers = dict(headers or {})
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, 5.0)).as_dict()
        self._verify = verify
        self._connections = transport(self.url, self._verify)

    def _append(self, job: JobPublisher, producer: Producer, events: Sequence[Event]) -> Receipt:
        body = ",".join([_written(event) for event in events])
        if len(events) > 1:
            body = f"[{body}]"
        answer = self._post(job, "events", producer, body)
        return Receipt(duplicate=answer.get("duplicate") is True)

    def _heartbeat(self, job: JobPublisher, producer: Producer, ttl: float) -> StopRequest | None:
        answer = self._post(job, "heartbeat", producer, f'{{"ttl_ms":{int(ttl * 1000)}}}')
        if answer.get("cancel_requested") is not True or job.stop_request is not None:
            return None
        return self._who(job)

    def _who(self, job: JobPublisher) -> StopRequest:
        """Ask who wants the job to stop; a token that may only publish is not told."""
        try:
            answer = self._send(httpx.Request("GET", self.url + job_path(job.job_id), headers=self._all_headers()))
            cancel = answer.get("cancel") or {}
            return StopRequest(str(cancel.get("by", "")), str(cancel.get("reason", "")))
        except (TidingsError, AttributeError):
            return StopRequest()

    def _post(self, job: JobPublisher, sub: str, producer: Producer, body: str) -> dict[str, Any]:
        more = {
            "Content-Type": "application/json",
            "Producer-Id": producer.id,
            "Producer-Epoch": str(producer.epoch),
            "Producer-Seq": str(producer.seq),
        }
        content = body.encode("utf-8", "replace")
        url = self.url + job_path(job.job_id, sub)
        return self._send(httpx.Request("POST", url, headers={**self._all_headers(), **more}, content=content))

    def _all_headers(self) -> dict[str, str]:
        return headers(self._token, self._headers)

    def _send(self, request: httpx.Request) -> dict[str, Any]:
        request.extensions["timeout"] = self._timeout
        try:
            response = self._connections.handle_request(request)
            try:
                response.read()
            finally:
                response.close()
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise network_error(self.url, error) from error
        if response.status_code >= 300:
            raise response_error(response)
        try:
            answer = response.json()
        except ValueError as error:
            raise network_error(self.url, error) from error
        return answer if isinstance(answer, dict) else {}

    def _reconnect(self) -> None:
        self._connections = transport(self.url, self._verify)

    def _disconnect(self) -> None:
        self._connections.close()


def _written(event: Event) -> str:
    kind = dumps(event.type, ensure_ascii=False)
    return f'{{"event_type":{kind},"timestamp":"{event.timestamp}","data":{event.data}}}'
