"""The gateway's control interface, as we use it: which servers it knows, add one, remove one.

Separate because it is the seam to a foreign program: its JSON becomes our values here, and every
way in which talking to it can fail becomes a `GatewayError`.

Adding and removing are requests that smg carries out in the background; `list_workers` tells when.
A server is listed once it has answered, and for about 5 seconds after it was removed: not healthy,
so that nothing new is sent to it, with the number of requests it still answers. Those are let end
also when it is listed no more. Until then it cannot be added again. Its model's name is asked for
once: a server of another model needs another port.

Source: smg's README, "Worker management"; answers observed from smg 1.13.0.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from gpuslice.errors import GatewayError
from gpuslice.gateway.settings import GatewaySettings

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - mapped, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """One server as the gateway sees it.

    Attributes:
        id: The gateway's own id.
        url: Where the server answers.
        model: Name the gateway has learned from it, or "" before that.
        healthy: True when requests are sent to it.
        load: Requests of the gateway that it is answering.
    """

    id: str
    url: str
    model: str
    healthy: bool
    load: int = 0


class GatewayClient:
    """Talks to a running gateway with the control key."""

    def __init__(self, settings: GatewaySettings, *, timeout_s: float = 5.0) -> None:
        """Take the settings the gateway was started with, and how long one answer may take."""
        self._host = _WILDCARDS.get(settings.host, settings.host)
        self._port = settings.port
        self._key = settings.control_key
        self._timeout_s = timeout_s

    def list_workers(self) -> tuple[Worker, ...]:
        """Read which servers the gateway knows, by URL.

        Raises:
            GatewayError: It does not answer, refuses, or answers something else.
        """
        found = self._request("GET", "/workers", expected=(200,))
        with _understood("/workers"):
            workers = [_worker(entry) for entry in found["workers"]]
        return tuple(sorted(workers, key=lambda worker: (worker.url, worker.id)))

    def add_worker(self, url: str) -> None:
        """Ask the gateway to take a server; one that it knows already is fine.

        Raises:
            GatewayError: It does not answer or refuses.
        """
        self._request("POST", "/workers", {"url": url}, expected=(200, 201, 202, 409))

    def remove_worker(self, worker_id: str) -> None:
        """Ask the gateway to let a server go; one that has gone already is fine.

        Raises:
            GatewayError: It does not answer or refuses.
        """
        self._request("DELETE", f"/workers/{quote(worker_id, safe='')}", expected=(200, 202, 404))

    def served_models(self) -> tuple[str, ...]:
        """Read which models are answered now, sorted.

        Not from ``/v1/models``: smg goes on listing a model there when its last server is dead.

        Raises:
            GatewayError: It does not answer, refuses, or answers something else.
        """
        workers = self.list_workers()
        return tuple(sorted({worker.model for worker in workers if worker.healthy} - {""}))

    def _request(
        self, method: str, path: str, body: object = None, *, expected: tuple[int, ...]
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise GatewayError(
                f"the gateway on {self._host}:{self._port} does not answer: {error}",
                hint="gpuslice logs gateway",
            ) from error
        finally:
            connection.close()
        if response.status not in expected:
            raise GatewayError(
                f"the gateway answered {response.status} to {method} {path}: {text[:200]}",
                hint="gpuslice logs gateway",
            )
        with _understood(path):
            return json.loads(text or "{}")


def _worker(entry: Any) -> Worker:
    return Worker(
        id=entry["id"],
        url=entry["url"],
        model=entry.get("model_id") or "",
        healthy=bool(entry.get("is_healthy")),
        load=int(entry.get("load") or 0),
    )


@contextmanager
def _understood(path: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise GatewayError(
            f"the gateway's answer to {path} cannot be understood: {error!r}",
            hint="is something else listening on that port?",
        ) from error
