"""The control API: HTTP on a Unix socket that only its owner can open.

A change answers with a stream of events, one JSON object a line. Blank lines come in between, so
that both sides notice when the other is gone. When the asker of a change goes away, the change is
cancelled and undone: a closed terminal is a Ctrl-C.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gpuslice.agent.client import event_to_json
from gpuslice.agent.daemon import Daemon
from gpuslice.agent.slice_changes import SliceChange
from gpuslice.agent.status import status_to_json
from gpuslice.errors import GpusliceError
from gpuslice.model.desired import Change
from gpuslice.model.event import Event, EventKind, Report

log = logging.getLogger(__name__)

HEARTBEAT_S = 1.0

_CHANGE: TypeAdapter[Change] = TypeAdapter(Change)
_SLICE_CHANGE: TypeAdapter[SliceChange] = TypeAdapter(SliceChange)

Work = Callable[[Report, threading.Event], None]
"""A change: where its events go, and what is set when its asker has gone away."""


def application(daemon: Daemon) -> Starlette:
    """Build the API over a daemon."""

    async def status(_request: Request) -> Response:
        text = await asyncio.to_thread(daemon.status)
        return Response(status_to_json(text), media_type="application/json")

    async def cancel(_request: Request) -> Response:
        daemon.cancel()
        return PlainTextResponse("cancelling\n")

    async def up(request: Request) -> Response:
        asked = await request.json()
        change = _CHANGE.validate_python(asked["change"])
        detach, allow = bool(asked["detach"]), _allowed(asked)
        return _Stream(
            daemon,
            lambda report, gone: daemon.up(change, report, gone, detach=detach, allow=allow),
        )

    async def down(request: Request) -> Response:
        asked = await request.json()
        slices, mig_off = bool(asked["slices"]), bool(asked["mig_off"])
        allow = _allowed(asked)
        return _Stream(
            daemon,
            lambda report, _: daemon.down(report, slices=slices, mig_off=mig_off, allow=allow),
        )

    async def slices(request: Request) -> Response:
        change = _SLICE_CHANGE.validate_python(await request.json())
        return _Stream(daemon, lambda report, gone: daemon.slices(change, report, gone))

    async def recover(request: Request) -> Response:
        allow = _allowed(await request.json())
        return _Stream(daemon, lambda report, _: daemon.recover(report, allow=allow), leave=False)

    async def leave(_request: Request) -> Response:
        daemon.leave_if_idle()
        return Response(status_code=204)

    return Starlette(
        routes=[
            Route("/v1/status", status),
            Route("/v1/up", up, methods=["POST"]),
            Route("/v1/down", down, methods=["POST"]),
            Route("/v1/slices", slices, methods=["POST"]),
            Route("/v1/recover", recover, methods=["POST"]),
            Route("/v1/cancel", cancel, methods=["POST"]),
            Route("/v1/leave", leave, methods=["POST"]),
        ]
    )


def _allowed(asked: dict[str, Any]) -> tuple[str, ...]:
    """Read the names of the refusals that are lifted; a name nobody knows lifts nothing."""
    return tuple(str(name) for name in asked.get("allow", ()))


class _Stream(Response):
    """Runs a change in a thread and sends its events while it runs."""

    def __init__(self, daemon: Daemon, work: Work, *, leave: bool = True) -> None:
        super().__init__(media_type="application/x-ndjson")
        self._daemon = daemon
        self._work = work
        self._leave = leave
        self._queue: asyncio.Queue[Event] = asyncio.Queue()
        self._gone = threading.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()

        def report(event: Event) -> None:
            log.info("%s: %s", event.kind, event.text)
            with suppress(RuntimeError):  # the loop has ended: nobody listens, the work goes on
                loop.call_soon_threadsafe(self._queue.put_nowait, event)

        headers = [(b"content-type", b"application/x-ndjson")]
        work = asyncio.create_task(asyncio.to_thread(_run, self._work, report, self._gone))
        watch = asyncio.create_task(self._watch(receive))
        try:
            with suppress(OSError):  # the asker is gone
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                await self._send_events(send)
        finally:
            self._gone.set()
            watch.cancel()
        await work
        if self._leave:
            self._daemon.leave_if_idle()

    async def _send_events(self, send: Send) -> None:
        while True:
            try:
                event = await asyncio.wait_for(self._queue.get(), HEARTBEAT_S)
                text = event_to_json(event)
            except TimeoutError:
                event, text = None, b"\n"
            last = event is not None and event.kind is EventKind.END
            body: dict[str, Any] = {
                "type": "http.response.body",
                "body": text,
                "more_body": not last,
            }
            await send(body)
            if last:
                return

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone.set()


def _run(work: Work, report: Report, gone: threading.Event) -> None:
    """Run a change to its end, whatever it is, and say how it ended."""
    try:
        work(report, gone)
    except GpusliceError as error:
        report(
            Event(
                kind=EventKind.ERROR,
                text=error.message,
                code=error.code,
                exit_status=error.exit_status,
                hint=error.hint,
                details=error.details,
            )
        )
    except Exception as error:  # the thread's edge: the asker has to hear of it
        log.exception("a change failed in an unforeseen way")
        hint = "This is a defect in gpuslice; the agent's log has the traceback."
        report(
            Event(kind=EventKind.ERROR, text=repr(error), code="defect", exit_status=70, hint=hint)
        )
    report(Event(kind=EventKind.END, text=""))
