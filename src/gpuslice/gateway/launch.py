"""The gateway's program: smg, the Shepherd Model Gateway, in this process, with our settings.

Separate because it runs as a process of its own: ``python -m gpuslice.gateway.launch FILE``. smg
has a command of its own; it is not used because it takes keys as arguments, which every user of
the machine can read. Here they come from a file that only we can read.

What is switched on, and why:

- several models behind one port (``--enable-igw``), workers that speak OpenAI's API themselves;
- nothing is kept of requests (``--history-backend none``) and no tokenizer is downloaded;
- a dead server is out after one failed check and back after one that succeeds, so the health
  interval is the longest time that requests can meet it; the circuit breaker lets go as quickly;
- workers are added and removed with a key of the role ``admin``; clients' keys open the models
  only. The list of model names (``/v1/models``) and ``/health`` need no key: that is smg's choice.

Source: smg 1.13 ``launch --help``; smg.router_args for the fields that have no harmless flag.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from gpuslice.errors import GpusliceError
from gpuslice.gateway.settings import GatewaySettings, read_settings

_FIXED = (
    *("--enable-igw", "--backend", "openai", "--disable-tokenizer-autoload"),
    *("--history-backend", "none", "--log-level", "warn"),
    *("--health-check-interval-secs", "2", "--health-check-timeout-secs", "2"),
    *("--health-failure-threshold", "1", "--health-success-threshold", "1"),
    *("--worker-startup-check-interval", "1", "--cb-timeout-duration-secs", "2"),
    *("--shutdown-grace-period-secs", "5"),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway until it is told to end.

    Returns:
        0 after a signal, 1 when it could not be started, 2 for unusable arguments.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        return _report("one argument is needed: the gateway's settings file", status=2)
    try:
        settings = read_settings(Path(given[0]))
        run_router(settings)
    except GpusliceError as error:
        return _report(error.message, status=1)
    except Exception as error:  # noqa: BLE001 - smg raises whatever its Rust core raises
        return _report(str(error), status=1)
    return 0


def router_arguments(settings: GatewaySettings) -> list[str]:
    """Build smg's arguments: everything but the keys."""
    return [
        *("--host", settings.host, "--port", str(settings.port)),
        *("--prometheus-host", "127.0.0.1", "--prometheus-port", str(settings.metrics_port)),
        *("--policy", settings.policy),
        *_FIXED,
    ]


def add_keys(router: Any, settings: GatewaySettings) -> None:
    """Put the keys into smg's parsed arguments, where no process list shows them."""
    router.control_plane_api_keys = [
        ("gpuslice", "gpuslice agent", settings.control_key, "admin"),
    ]
    router.tenant_api_keys = [
        (f"client-{number}", key) for number, key in enumerate(settings.client_keys, start=1)
    ]


def run_router(settings: GatewaySettings) -> None:
    """Become the gateway: returns when it was told to end."""
    # smg's Rust core is loaded here only: nothing else of gpuslice needs its 60 MB.
    from smg.launch_router import launch_router, parse_router_args  # noqa: PLC0415 - see above

    router = parse_router_args(router_arguments(settings))
    add_keys(router, settings)
    launch_router(router)


def _report(what: str, *, status: int) -> int:
    print(f"error: the gateway cannot start: {what}", file=sys.stderr, flush=True)  # noqa: T201 - the log
    return status


if __name__ == "__main__":
    sys.exit(main())
