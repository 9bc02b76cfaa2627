"""A connection to a Docker engine, and what can go wrong with it.

Separate from what is asked. A connection lives for one question: engines are restarted under us,
several threads ask, and one over a local socket costs next to nothing. The SDK is imported here
only, and only when there is something to ask, since it takes longer than most commands.

Source: docker-py's low-level ``APIClient``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpuslice.runtime.docker.listener import USUAL_SOCKET, require_listener
from gpuslice.runtime.docker.trouble import explained, unavailable

TIMEOUT_S = 60.0
"""How long one answer is waited for; the engine itself may take long to stop a container."""

# What the engine says (409) of a container that ends or goes while it is asked about it.
_GONE = re.compile(
    r"removal of container .* is already in progress|Container .* is not running"
    r"|container which is dead or marked for removal",
    re.IGNORECASE,
)


class ContainerGoneError(Exception):
    """The container that was asked about is not there any more. Never leaves this room."""


class Engine:
    """One Docker engine.

    Attributes:
        host: Where it listens, as in ``DOCKER_HOST``; "" for the usual socket.
    """

    def __init__(self, host: str = "") -> None:
        self.host = host or os.environ.get("DOCKER_HOST", "")
        self._api_version = ""

    @contextmanager
    def asking(self, doing: str, *, timeout_s: float | None = TIMEOUT_S) -> Iterator[Any]:
        """Open a connection for one question.

        Args:
            doing: What is asked for, as the beginning of a sentence.
            timeout_s: How long one answer may take, seconds; None for any time.

        Yields:
            A ``docker.APIClient``.

        Raises:
            DockerUnavailableError: Nobody answers, or we may not ask.
            ContainerGoneError: A container is not there.
            GpusliceError: The engine refused, in words.
        """
        require_listener(self.host)
        import docker  # noqa: PLC0415 - see above
        import requests  # noqa: PLC0415 - see above

        api = None
        try:
            api = self._connect(timeout_s)
            yield api
        except docker.errors.NotFound as error:
            if "image" not in str(error.explanation).lower():
                raise ContainerGoneError(str(error.explanation)) from error
            raise explained(str(error.explanation), doing) from error
        except docker.errors.APIError as error:
            if _GONE.search(str(error.explanation)):
                raise ContainerGoneError(str(error.explanation)) from error
            self._api_version = ""  # an engine that was renewed under us may speak others only
            raise explained(str(error.explanation or error), doing) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise unavailable(str(error), self.host) from error
        finally:
            if api is not None:
                api.close()

    def _connect(self, timeout_s: float | None) -> Any:
        import docker  # noqa: PLC0415 - see above

        api = docker.APIClient(
            base_url=self.host or f"unix://{USUAL_SOCKET}",
            version=self._api_version or "auto",
            timeout=timeout_s,
        )
        self._api_version = api.api_version
        return api
