"""Servers as containers of a Docker engine.

Separate from what it is made of (connection, request, labels, secrets, troubles), which it puts
into an order that holds under trouble:

- A container is found again by its labels; nothing is written down. Its name is for people.
- One that has ended stays until it is started again or swept away, so that its last lines and the
  reason why it ended can be read. Then they are kept in its log.
- Each is stopped by its id, so that never another one of the same name is.
- The engine may be restarted at any moment: whatever was asked then fails with one error, and is
  asked again by whoever looks next.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from gpuslice.errors import ContainerError, RuntimeFailure
from gpuslice.model.desired import DesiredDocker
from gpuslice.model.machine import Machine
from gpuslice.model.server import Launch, RunningServer
from gpuslice.runtime.docker.body import creation
from gpuslice.runtime.docker.cdi import refresh
from gpuslice.runtime.docker.engine import ContainerGoneError, Engine
from gpuslice.runtime.docker.images import fetch
from gpuslice.runtime.docker.labels import MACHINE, NAME, read_labels
from gpuslice.runtime.docker.secrets import remove_secrets, write_secrets
from gpuslice.runtime.docker.trouble import explained
from gpuslice.runtime.logs import Logs, printable

log = logging.getLogger(__name__)

_KILL_S = 30.0
"""How long the engine may take to end what did not end when asked."""
_AT_ONCE = 8  # containers that are asked about, or stopped, side by side
_KEPT_LINES = 2000
# What a container may know of the machine beside its launch: where the hub is, and proxies.
_PASSED_ON = frozenset({"HF_ENDPOINT", "HF_HUB_OFFLINE", "TZ", "LANG"})
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")

Tell = Callable[[str], None]


class DockerRuntime:
    """Starts, finds and stops the containers of one machine in one engine. Keeps no state."""

    def __init__(self, machine: Machine, *, host: str = "") -> None:
        """Take the machine whose servers these are, and where the engine listens."""
        self._root = machine.root.resolve()
        self._engine = Engine(host)
        self._logs = Logs(folder=machine.log_dir)
        self._secrets = machine.secrets_dir

    def start(self, launch: Launch) -> RunningServer:
        """Create and start one container; see `Runtime.start`.

        Raises:
            ImageMissingError: Its image is not here. `fetch` brings images.
            ContainerError: The engine refused.
            PortInUseError: Its port is taken.
            DockerUnavailableError: The engine cannot be asked.
        """
        doing = f"{launch.name} cannot be started"
        self._make_way(launch)
        try:
            with _explaining(doing):
                _make_folders(launch)
                files = write_secrets(launch, self._secrets)
                return self._start(launch, files, doing)
        except BaseException:
            remove_secrets(launch.name, self._secrets)
            raise

    def _start(self, launch: Launch, files: Mapping[str, Path], doing: str) -> RunningServer:
        body = creation(launch, self._root, files, passed_on(os.environ))
        with self._engine.asking(doing) as api:
            id_ = api.create_container_from_config(body, launch.name)["Id"]
        try:
            with self._engine.asking(doing) as api:
                api.start(id_)
                return _running(api.inspect_container(id_))
        except BaseException:
            with suppress(RuntimeFailure):  # of two troubles the first is the one to tell
                self._remove(id_, launch.name)
            raise

    def list(self, stack: str | None = None) -> tuple[RunningServer, ...]:
        """Find every running container of ours; see `Runtime.list`."""
        servers = self._alive([entry["Id"] for entry in self._ours(alive=True)])
        return tuple(
            sorted(
                (s for s in servers if stack is None or s.stack == stack),
                key=lambda s: (s.name, s.started_at),
            )
        )

    def stop(self, server: RunningServer, *, grace_s: float = 10.0) -> None:
        """Ask it to end, then make it, then remove it; see `Runtime.stop`."""
        self.stop_all((server,), grace_s=grace_s)

    def stop_all(self, servers: tuple[RunningServer, ...], *, grace_s: float = 10.0) -> None:
        """Stop several side by side; see `Runtime.stop_all`.

        Raises:
            RuntimeFailure: One outlives being killed.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda server: self._end(server, grace_s), servers):
                pass

    def has(self, name: str) -> bool:
        """Tell whether there is a container of that launch, running or ended."""
        return bool(self._named(name))

    def tail(self, name: str, *, lines: int = 20) -> tuple[str, ...]:
        """Read the last lines it wrote; see `Runtime.tail`.

        Of a container that has ended the last line is ours and says how.
        """
        for entry in self._named(name):
            with suppress(ContainerGoneError):
                return self._tail_of(entry["Id"], lines)
        return self._logs.tail(name, lines=lines)

    def follow(self, name: str) -> Iterator[str]:
        """Yield lines as it writes them, until it has ended; see `Runtime.follow`."""
        entries = self._named(name)
        if not entries:
            return iter(())
        return self._follow(entries[0]["Id"])

    def rotate_logs(self) -> None:
        """Nothing to do: the engine turns its logs over."""

    def fetch(self, images: Collection[str], engine: DesiredDocker, tell: Tell) -> None:
        """Bring images here; see `Runtime.fetch`."""
        fetch(self._engine, images, engine.pull, tell)

    def slices_changed(self) -> None:
        """Have the CDI specification made anew, where the engine goes by it."""
        with self._engine.asking("its CDI folders cannot be told") as api:
            folders = api.info().get("CDISpecDirs") or ()
        if trouble := refresh(map(Path, folders)):
            log.warning("the CDI specification was not written anew: %s", trouble)

    def sweep(self) -> None:
        """Remove containers of ours that have ended, keeping their last lines.

        Also secrets whose container somebody else has removed.
        """
        living = set()
        for entry in self._ours(alive=False):
            name = entry["Labels"].get(NAME, "")
            if entry["State"] in ("running", "paused", "restarting"):
                living.add(name)
            else:
                self._remove(entry["Id"], name)
        for folder in self._secrets.glob("*"):
            if folder.name not in living:
                remove_secrets(folder.name, self._secrets)

    def _make_way(self, launch: Launch) -> None:
        """Free the name of a launch: an ended container goes, a leaving one gives its name up.

        Raises:
            RuntimeFailure: The very same server runs already.
            ContainerError: The name is somebody else's.
        """
        for entry in self._named(launch.name):
            server = self._look(entry["Id"])
            if server is None:
                self._remove(entry["Id"], launch.name)
            elif server.slice_uuid == launch.slice_uuid:
                raise RuntimeFailure(
                    f"{launch.name} is running already, container {entry['Id'][:12]}",
                    hint="stop it first",
                )
            elif f"/{launch.name}" in entry["Names"]:
                doing = f"{launch.name} cannot be renamed"
                with suppress(ContainerGoneError), self._engine.asking(doing) as api:
                    api.rename(entry["Id"], f"{launch.name}-leaving-{entry['Id'][:8]}")

    def _ours(self, *, alive: bool, name: str = "") -> Sequence[dict[str, Any]]:
        labels = [f"{MACHINE}={self._root}", *([f"{NAME}={name}"] if name else [])]
        with self._engine.asking("containers cannot be listed") as api:
            found: list[dict[str, Any]] = api.containers(all=not alive, filters={"label": labels})
        return found

    def _named(self, name: str) -> Sequence[dict[str, Any]]:
        """List the containers of one name, the youngest first."""
        found = self._ours(alive=False, name=name)
        return sorted(found, key=lambda entry: -int(entry["Created"]))

    def _look(self, id_: str) -> RunningServer | None:
        """Look at one container; None where it has ended or is gone."""
        return next(iter(self._alive([id_])), None)

    def _alive(self, ids: Sequence[str]) -> Sequence[RunningServer]:
        """Look at containers, over one connection; leave out those that have ended or are gone.

        One after the other: fifty take a tenth of a second, and threads make that no quicker.
        """
        left, found = list(ids), []
        while left:
            with (
                suppress(ContainerGoneError),
                self._engine.asking("a container cannot be looked at") as api,
            ):
                while left:
                    found.append(api.inspect_container(left.pop()))
        return [_running(entry) for entry in found if entry["State"]["Running"]]

    def _end(self, server: RunningServer, grace_s: float) -> None:
        doing = f"{server.name} cannot be stopped"
        with (
            suppress(ContainerGoneError),
            self._engine.asking(doing, timeout_s=grace_s + _KILL_S) as api,
        ):
            api.stop(server.container, timeout=int(grace_s))
        self._remove(server.container, server.name)  # by force: what has not ended is killed

    def _remove(self, id_: str, name: str) -> None:
        """Remove a container, what it wrote kept in its log, and its secrets."""
        with suppress(ContainerGoneError):
            lines = self._tail_of(id_, _KEPT_LINES)
            if name and lines:
                self._keep(name, lines)
            with self._engine.asking(f"{name} cannot be removed") as api:
                api.remove_container(id_, force=True, v=True)
        if name and not self._named(name):
            remove_secrets(name, self._secrets)

    def _keep(self, name: str, lines: tuple[str, ...]) -> None:
        log = self._logs.open_for_append(name)
        try:
            os.write(log, "".join(f"{line}\n" for line in lines).encode())
        finally:
            os.close(log)

    def _tail_of(self, id_: str, lines: int) -> tuple[str, ...]:
        with self._engine.asking("a log cannot be read") as api:
            written = api.logs(id_, tail=lines)
            found = api.inspect_container(id_)
        shown = [printable(line) for line in written.split(b"\n")]
        if shown and not shown[-1]:
            shown.pop()
        ended = how_it_ended(found)
        return (*shown, ended)[-lines:] if ended else tuple(shown)

    def _follow(self, id_: str) -> Iterator[str]:
        rest = b""
        with (
            suppress(ContainerGoneError),
            self._engine.asking("a log cannot be followed", timeout_s=None) as api,
            closing(api.logs(id_, stream=True, follow=True, tail=0)) as pieces,
        ):
            for piece in pieces:
                *complete, rest = (rest + piece).split(b"\n")
                yield from map(printable, complete)
        if rest:
            yield printable(rest)


@contextmanager
def _explaining(doing: str) -> Iterator[None]:
    """Turn what a start meets beside the engine's refusals into an error of ours."""
    try:
        yield
    except OSError as error:
        raise ContainerError(
            f"{doing}: {error.filename}: {error.strerror}.",
            hint="mend that path, then run `gpuslice up` again",
        ) from error
    except ContainerGoneError as error:  # it, or something that it names
        raise explained(str(error), doing) from error


def _make_folders(launch: Launch) -> None:
    """Make the folders that a container writes into: a cache that nobody has filled yet."""
    for mount in launch.container.mounts if launch.container else ():
        if not mount.read_only:
            Path(mount.source).mkdir(parents=True, exist_ok=True)


def how_it_ended(found: dict[str, Any]) -> str:
    """Say in one line how a container ended; "" while it runs or before it ran.

    Args:
        found: What ``inspect`` says.
    """
    state = found["State"]
    if state["Running"] or state["Status"] == "created":
        return ""
    status = state["ExitCode"]
    if state.get("OOMKilled"):
        limit = found["HostConfig"].get("Memory", 0) // (1024 * 1024)
        of = f" of {limit:,} MiB" if limit else ""
        return f"gpuslice: killed, for it needed more than its limit{of} of the machine's memory"
    said = f": {state['Error']}" if state.get("Error") else ""
    return f"gpuslice: ended with exit status {status}{said}"


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Choose what a container is told of the machine: no proxy with a password, for all to see."""
    return {
        name: value
        for name, value in environ.items()
        if name in _PASSED_ON or (name.lower() in _PROXIES and "@" not in value)
    }


def _running(found: dict[str, Any]) -> RunningServer:
    labels = read_labels(found["Config"]["Labels"] or {})
    if labels is None:
        raise ContainerError(
            f"The labels of container {found['Id'][:12]} are not those gpuslice writes.",
            hint=f"remove it: docker rm -f {found['Id'][:12]}",
        )
    return labels.running(
        pid=found["State"]["Pid"],
        started_at=_unix(found["State"]["StartedAt"]),
        container=found["Id"],
    )


def _unix(moment: str) -> float:
    """Read the engine's time, which has nine digits behind the point: Python takes six."""
    whole, _, rest = moment.partition(".")
    digits = rest.rstrip("Z")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{whole.rstrip('Z')}.{digits}+00:00").timestamp()
