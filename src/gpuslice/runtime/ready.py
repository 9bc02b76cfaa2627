"""Whether a server answers: one question over HTTP.

Separate from the runtime because a container is asked in the same way as a process.
"""

from __future__ import annotations

# What a server that listens everywhere is reached by from this machine.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - mapped, not bound


def is_ready(host: str, port: int, path: str = "/health", *, timeout_s: float = 1.0) -> bool:
    """Ask a server whether it is ready.

    Args:
        host: Address it listens on; a wildcard is asked through loopback.
        port: Port.
        path: Health path of its engine.
        timeout_s: How long connecting, and each read, may take, seconds.

    Returns:
        True when the answer is 200; False for any other answer, or none.
    """
    # HTTP brings TLS along, which is much to load for who lists servers and finds none.
    import http.client  # noqa: PLC0415 - see above

    connection = http.client.HTTPConnection(local_address(host), port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def local_address(host: str) -> str:
    """Return the address by which this machine reaches a server that listens on ``host``."""
    return _LOCAL.get(host, host)
