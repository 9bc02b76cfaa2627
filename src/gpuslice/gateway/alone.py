"""A gateway without an agent: it finds its servers by itself, and needs nothing else of gpuslice.

Separate from `gpuslice.gateway.launch`, which is told its servers by an agent. This is what an
exported compose file runs: ``python3 -m gpuslice.gateway.alone --port 8080 URL…``.

smg takes servers at run time only, by ``POST /workers``; those named on its own command line it
asks for no model names. So a second process beside it looks round every two seconds and introduces
each server that answers and is not known yet: one that is slow to load, and all of them again
after the gateway was restarted. That process ends with the gateway. The control key is made here,
at each start, and is in memory only.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from gpuslice.errors import GatewayError, GpusliceError
from gpuslice.gateway.client import GatewayClient
from gpuslice.gateway.launch import run_router
from gpuslice.gateway.settings import POLICIES, GatewaySettings, new_settings, read_keys_file
from gpuslice.gateway.sync import worker_changes

_ROUND_S = 2.0
_ANSWER_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the gateway until it is told to end.

    Returns:
        0 after a signal, 1 when it could not be started; wrong arguments end the program with 2.
    """
    given = _parser().parse_args(arguments)
    try:
        settings = replace(
            new_settings(
                host=given.host,
                port=given.port,
                metrics_port=given.metrics_port,
                client_keys=read_keys_file(given.keys_file) if given.keys_file else (),
            ),
            policy=given.policy,
        )
        multiprocessing.get_context("fork").Process(
            target=_keep_introducing, args=(settings, tuple(given.servers)), daemon=True
        ).start()
        run_router(settings)
    except GpusliceError as error:
        return _report(error.message)
    except Exception as error:  # noqa: BLE001 - smg raises whatever its Rust core raises
        return _report(str(error))
    return 0


def introduce(client: GatewayClient, servers: Sequence[str]) -> tuple[str, ...]:
    """Tell the gateway of every server that answers and that it does not know.

    Args:
        client: The gateway.
        servers: Where servers answer or will, as URLs.

    Returns:
        The URLs it was told.

    Raises:
        GatewayError: The gateway does not answer.
    """
    new = tuple(url for url in worker_changes(client.list_workers(), servers).add if _answers(url))
    for url in new:
        client.add_worker(url)
    return new


def _keep_introducing(settings: GatewaySettings, servers: Sequence[str]) -> None:
    gateway, client = os.getppid(), GatewayClient(settings)
    while os.getppid() == gateway:
        with suppress(GatewayError):  # it is not up yet, or busy: it is asked again
            introduce(client, servers)
        time.sleep(_ROUND_S)


def _answers(url: str) -> bool:
    """Tell whether a server says that it has loaded: every engine's ``/health`` does."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m gpuslice.gateway.alone",
        description="One OpenAI-compatible endpoint in front of model servers. It introduces each "
        "server as soon as that answers on /health, and needs no agent.",
    )
    parser.add_argument("servers", nargs="+", metavar="URL", help="http://127.0.0.1:20000")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on")
    parser.add_argument(
        "--metrics-port", type=int, default=29000, help="port of its metrics, on loopback"
    )
    parser.add_argument("--policy", choices=POLICIES, default=POLICIES[0])
    parser.add_argument(
        "--keys-file",
        type=Path,
        help="the keys that clients need, one a line; nobody else may read it (mode 0600)",
    )
    return parser


def _report(what: str) -> int:
    print(f"error: the gateway cannot start: {what}", file=sys.stderr, flush=True)  # noqa: T201 - the log
    return 1


if __name__ == "__main__":
    sys.exit(main())
