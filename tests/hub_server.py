"""A stand-in for the Hugging Face hub on loopback: files, ranges, refusals, and what was asked.

Only what the hub's own library needs to read a model: HEAD and GET of
``/OWNER/NAME/resolve/REVISION/…`` with the headers the hub answers with, and the list of a model's
files below ``/api/models``. Point ``HF_ENDPOINT`` at `HubServer.url`.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 40
_FILE = re.compile(r"/(?P<name>.+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_LIST = re.compile(r"/api/models/(?P<name>.+?)(/revision/(?P<revision>[^/]+))?")


@dataclass(slots=True)
class HubServer:
    """What the stand-in holds; owned by the test that started it.

    Attributes:
        url: Where it listens.
        files: Content by ``OWNER/NAME/FILE``.
        revisions: Branches and tags that every model has; all hold the same files.
        has_ranges: False for a mirror that sends whole files, whatever is asked for.
        refused: Status and error code of models that are not shown, by ``OWNER/NAME``.
        asked: Method, path and range of every request.
        sent: Bytes of content that left.
        tokens: What came with requests for files as ``Authorization``.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=lambda: {"main"})
    has_ranges: bool = True
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0
    tokens: set[str] = field(default_factory=set)

    def add_folder(self, name: str, folder: Path) -> None:
        """Put every file of a folder into a model."""
        for path in folder.iterdir():
            self.files[f"{name}/{path.name}"] = path.read_bytes()


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection; `hub_server` gives each server a class of its own with its hub."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        span = self.headers.get("Range", "") if hub.has_ranges else ""
        hub.asked.append((self.command, self.path, span))
        path = self.path.partition("?")[0]
        if listed := _LIST.fullmatch(path):
            name, file, revision = listed["name"], "", listed["revision"] or "main"
        else:
            asked = _FILE.fullmatch(path)
            name, file, revision = asked.group("name", "file", "revision") if asked else ("",) * 3
        if file:
            hub.tokens.add(self.headers.get("Authorization", ""))
        if name in hub.refused:
            self._refuse(*hub.refused[name])
        elif not any(key.startswith(f"{name}/") for key in hub.files):
            self._refuse(404, "RepoNotFound")
        elif revision not in hub.revisions:
            self._refuse(404, "RevisionNotFound")
        elif listed:
            self._send(self._listing(name), "", body=body)
        elif f"{name}/{file}" not in hub.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._send(hub.files[f"{name}/{file}"], span, body=body)

    def _listing(self, name: str) -> bytes:
        files = {
            key.removeprefix(f"{name}/"): len(content)
            for key, content in self.hub.files.items()
            if key.startswith(f"{name}/")
        }
        siblings = [{"rfilename": file, "size": size} for file, size in files.items()]
        return json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode()

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, span: str, *, body: bool) -> None:
        first, _, last = span.removeprefix("bytes=").partition("-")
        start = int(first or 0)
        part = content[start : int(last) + 1 if last else None]
        self.send_response(206 if span else 200)
        if span:
            end = start + len(part) - 1
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{zlib.crc32(content):x}"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.hub.sent += len(part)
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Serve a hub on a free port of loopback until the end of the block."""
    hub = HubServer()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
