"""Whether a server answers: a look at its health, then one small request over HTTP.

Separate from the runtime because a container is asked in the same way as a process.

An open port says that a program listens, and a good health that it has loaded. Only an answer to a
real request, under the name that clients will use, says that it can work; so that is what counts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuslice.model.server import Launch
from gpuslice.stack.problem import visible

if TYPE_CHECKING:
    import http.client

# What a server that listens everywhere is reached by from this machine.
_LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - mapped, not bound

HEALTH_WITHIN_S = 1.0
ANSWER_WITHIN_S = 120.0
"""The first token may wait for kernels to be compiled, and behind the requests of clients where a
server has run for long and only who looks after it is new."""

# A model of another kind is refused with one of these, so the next question may be its own.
_NOT_ITS_KIND = frozenset({400, 404, 405, 422, 501})
# It is busy, or silent; waiting may mend that.
_NO_REFUSAL = frozenset({0, 429, 503})
_OK = 200
_MOST_BYTES = 65_536
_MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered when it was asked whether it is ready.

    Attributes:
        ready: True when it answered as a server that works does.
        said: What was asked and answered, in words; "" when it is ready.
        refused: True when it is in good health and yet refuses every question, which is rarely
            mended by waiting; False when it is silent or busy.
    """

    ready: bool
    said: str = ""
    refused: bool = False


def ask(launch: Launch, *, answer_within_s: float = ANSWER_WITHIN_S) -> Answer:
    """Ask a server whether it is ready: its health first, then its questions in turn.

    Args:
        launch: Where it listens and what it is asked.
        answer_within_s: How long it may be silent while it answers a question, seconds.
    """
    health = _exchange(launch, "GET", launch.health_path, timeout_s=HEALTH_WITHIN_S)
    if health.status != _OK:
        return Answer(ready=False, said=health.told)
    if not launch.questions:
        return Answer(ready=True)
    said, refused = [], False
    for question in launch.questions:
        reply = _exchange(launch, "POST", question.path, question.body, timeout_s=answer_within_s)
        if reply.status == _OK and _has(reply.text, question.answer_key):
            return Answer(ready=True)
        said.append(reply.told)
        refused = reply.status not in _NO_REFUSAL
        if reply.status not in _NOT_ITS_KIND:
            break
    return Answer(ready=False, said="; ".join(said), refused=refused)


def is_ready(
    host: str, port: int, path: str = "/health", *, timeout_s: float = HEALTH_WITHIN_S
) -> bool:
    """Ask a server for its health alone, which disturbs it least.

    Args:
        host: Address it listens on; a wildcard is asked through loopback.
        port: Port.
        path: Health path of its engine.
        timeout_s: How long connecting, and each read, may take, seconds.

    Returns:
        True when the answer is 200; False for any other answer, or none.
    """
    connection = _connect(host, port, timeout_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == _OK
    except _failures():
        return False
    finally:
        connection.close()


def local_address(host: str) -> str:
    """Return the address by which this machine reaches a server that listens on ``host``."""
    return _LOCAL.get(host, host)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """One answer: its status (0 for none), the beginning of its text, and both in words."""

    status: int
    text: str = ""
    told: str


def _exchange(
    launch: Launch, method: str, path: str, body: str = "", *, timeout_s: float
) -> _Reply:
    asked = f"{method} {path}"
    connection = _connect(launch.host, launch.port, timeout_s)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body=body or None, headers=headers)
        response = connection.getresponse()
        text = response.read(_MOST_BYTES).decode(errors="replace")
        return _Reply(
            status=response.status,
            text=text,
            told=f"{asked} was answered with {response.status}{_excerpt(text)}",
        )
    except ConnectionRefusedError:
        return _Reply(status=0, told=f"nobody listens on {launch.url} yet")
    except TimeoutError:
        return _Reply(status=0, told=f"{asked} was not answered within {timeout_s:g} s")
    except _failures() as error:
        return _Reply(status=0, told=f"{asked} failed: {visible(str(error)) or 'no answer'}")
    finally:
        connection.close()


def _connect(host: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
    # HTTP brings TLS along, which is much to load for who lists servers and finds none.
    import http.client  # noqa: PLC0415 - see above

    return http.client.HTTPConnection(local_address(host), port, timeout=timeout_s)


def _failures() -> tuple[type[Exception], ...]:
    import http.client  # noqa: PLC0415 - loaded by `_connect` already

    # A chunk of negative length is a ValueError to http.client.
    return (OSError, http.client.HTTPException, ValueError)


def _has(text: str, key: str) -> bool:
    """Tell whether a JSON object holds a list with something in it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # a server may answer anything
        return False
    return isinstance(found, dict) and isinstance(found.get(key), list) and bool(found[key])


def _excerpt(text: str) -> str:
    """Show the beginning of an answer, of an error in OpenAI's form its message."""
    try:
        found = json.loads(text)
        message = found["error"]["message"] if isinstance(found["error"], dict) else found["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        message = text
    shown = visible(" ".join(str(message).split()))[:_MOST_SHOWN]
    return f": {shown}" if shown else ""
