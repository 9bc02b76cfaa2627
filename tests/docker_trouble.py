"""Programs that behave badly, for containers: ``trouble.py VERB …``.

They run in an image that holds nothing but Python, so they import nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def exits(status: str, *words: str) -> None:
    """End at once with a status and some last words."""
    print("starting", flush=True)
    print(" ".join(words), file=sys.stderr, flush=True)
    sys.exit(int(status))


def stays(what: str = "staying") -> None:
    """Run until a signal comes, and end with status 0."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    print(what, flush=True)
    while True:
        signal.pause()


def lingers(words: str) -> None:
    """Run until a signal comes, and say some last words then."""

    def end(_number: int, _frame: object) -> None:
        print(words, flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("lingering", flush=True)
    while True:
        signal.pause()


def ignores() -> None:
    """Run on whatever signal comes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ignoring SIGTERM", flush=True)
    while True:
        signal.pause()


def eats() -> None:
    """Take memory until somebody puts an end to it."""
    print("eating", flush=True)
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * (8 << 20)))


def listens(port: str, delay_s: str = "0", text: str = "ready") -> None:
    """Answer every GET on a port of loopback with a text, after a delay."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    time.sleep(float(delay_s))  # what a model server does while it loads
    HTTPServer(("127.0.0.1", int(port)), Answer).serve_forever()


def tells(*files: str) -> None:
    """Say as JSON what this process is and may do, and what it reads from files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told = {
        "uid": os.getuid(),
        "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16),
        "bounding": int(status["CapBnd"], 16),
        "no_new_privileges": int(status["NoNewPrivs"]),
        "writes": [folder for folder in ("/", "/etc", "/tmp") if _writes(folder)],
        "read": {file: Path(file).read_text() for file in files},
        "environment": dict(os.environ),
        "arguments": Path("/proc/1/cmdline").read_text().split("\0"),
    }
    print(json.dumps(told), flush=True)


def forks() -> None:
    """Start processes until no more are allowed, and say how many there were."""
    children: list[int] = []
    with suppress(OSError):
        while len(children) < 1000:
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    print(len(children), flush=True)
    for child in children:
        os.kill(child, signal.SIGKILL)


def _writes(folder: str) -> bool:
    try:
        (Path(folder) / "written").write_text("x")
    except OSError:
        return False
    return True


if __name__ == "__main__":
    verbs: dict[str, Callable[..., None]] = {
        "exits": exits,
        "stays": stays,
        "ignores": ignores,
        "lingers": lingers,
        "eats": eats,
        "listens": listens,
        "tells": tells,
        "forks": forks,
    }
    verbs[sys.argv[1]](*sys.argv[2:])
