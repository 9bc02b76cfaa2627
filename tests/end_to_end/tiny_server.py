"""A small real model server for tests: OpenAI's API, health, metrics; up in a tenth of a second.

Run through ``engine: command``. It answers with its own name, so a test sees who answered.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, NAME = int(sys.argv[1]), sys.argv[2]
DELAY_S = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
BORN = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health" and time.monotonic() - BORN < DELAY_S:
            self._answer(503, "text/plain", b"loading")
        elif self.path == "/v1/models":
            models = {"object": "list", "data": [{"id": NAME, "object": "model"}]}
            self._answer(200, "application/json", json.dumps(models).encode())
        else:
            self._answer(200, "text/plain", b"ok")

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = [f"I am {NAME}.", " You said: ", asked["messages"][-1]["content"]]
        if asked.get("stream"):
            chunks = [{"choices": [{"index": 0, "delta": {"content": w}}]} for w in words]
            text = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"
            self._answer(200, "text/event-stream", text.encode())
        else:
            message = {"role": "assistant", "content": "".join(words)}
            body = {"model": NAME, "choices": [{"index": 0, "message": message}]}
            self._answer(200, "application/json", json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        print(format % args, flush=True)

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


print(f"{NAME} listens on {PORT}", flush=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
