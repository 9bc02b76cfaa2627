"""A stack as a compose file, for people who want to go on without gpuslice. Pure.

Separate from `body`, which says the same to an engine: a container that is exported is the one that
gpuslice would run, so the two have to change together (a test holds them side by side). What
differs is what the agent did and nobody does afterwards:

- The engine starts a server again (``unless-stopped``), since there is no agent.
- The labels by which gpuslice finds its containers are left out, or it would take these for its
  own and stop them.
- Secrets are named by where they are, never by what they are.

Every string is a template to compose, so a ``$`` of ours is written twice, and only the UUID of a
slice that does not exist yet is left for compose to fill in. Arguments and variables are always
quoted: readers of YAML disagree about what ``1e3``, ``on`` and ``0o17`` are.

Source: the Compose specification, "Services", "Deploy", "Secrets", "Interpolation".
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import yaml

from gpuslice.engines.by_hand import TMPFS
from gpuslice.engines.images import USUAL
from gpuslice.model.server import Container, HandIn, Launch, Network, Role, Secret
from gpuslice.runtime.docker.body import LOG_BYTES, LOG_FILES

_WITH_PYTHON = frozenset(USUAL.values())
"""Images that are known to have ``python3``, with which a server's health can be asked."""
# Not with urllib, which would ask a proxy for the way to loopback.
_ASK = (
    "import http.client as h; c = h.HTTPConnection('{host}', {port}, timeout=5); "
    "c.request('GET', '{path}'); raise SystemExit(c.getresponse().status != 200)"
)
_LABELS = ("gpuslice.gpu", "gpuslice.profile", "gpuslice.placement")
_WIDTH = 10_000  # nothing is folded: a line is an argument
_SECRETS = PurePosixPath("/run/secrets")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The UUID of a slice that does not exist yet.

    Attributes:
        stands_for: What stands in the launch in its place; found nowhere else.
        variable: The variable that will hold it.
    """

    stands_for: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One container.

    Attributes:
        launch: How gpuslice would run it; it has a container.
        comment: What it is, in a line.
    """

    launch: Launch
    comment: str

    @property
    def name(self) -> str:
        """Its name in the file: ``chat-0``, ``gateway``."""
        replica = self.launch.replica
        return f"{replica.model}-{replica.replica}" if replica else Role.GATEWAY.value


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeFile:
    """Everything that a compose file says.

    Attributes:
        stack: Name of the stack, and of the project.
        heading: What a person has to know, in lines.
        servers: The model servers.
        gateway: What stands in front of them.
        secrets: By name of a launch's secret, where it is: ``{"file": …}`` or
            ``{"environment": …}``.
        further: Variables of the machine that go into every container; a launch's own win.
        unknown: UUIDs that are not known yet.
    """

    stack: str
    heading: Sequence[str]
    servers: Sequence[Service]
    gateway: Service
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    further: Mapping[str, str] = field(default_factory=dict)
    unknown: Sequence[Unknown] = ()


class _Quoted(str):
    """A string that is quoted whatever is in it."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes `_Quoted`, and indents lists as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - PyYAML's name
        super().increase_indent(flow, indentless=False)


_Dumper.add_representer(
    _Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)


def compose_text(file: ComposeFile) -> str:
    """Write a compose file.

    Returns:
        The whole text, with comments. It holds no secret.
    """
    parts = [
        "".join(f"# {line}".rstrip() + "\n" for line in file.heading),
        _yaml({"name": file.stack}, file.unknown),
        "services:\n"
        + "\n".join(
            textwrap.indent(
                f"# {service.comment}\n{_yaml({service.name: body}, file.unknown)}", "  "
            )
            for service, body in _services(file)
        ),
    ]
    if named := {_secret_name(secret): where for secret, where in _sources(file)}:
        parts.append(_yaml({"secrets": named}, file.unknown))
    return "\n".join(parts)


def _services(file: ComposeFile) -> Iterator[tuple[Service, dict[str, Any]]]:
    for server in file.servers:
        yield server, _body(server.launch, file.further)
    body = _body(file.gateway.launch, file.further)
    yield file.gateway, body | {"depends_on": [server.name for server in file.servers]}


def _body(launch: Launch, further: Mapping[str, str]) -> dict[str, Any]:
    """Describe one container, in the order in which a person would."""
    container = launch.container
    assert container is not None, "only a launch with a container is exported"
    own = container.own_entrypoint
    command = launch.command if own else launch.command[1:]
    variables = dict(further) | dict(launch.environment)
    found: dict[str, Any] = {
        "image": container.image,
        "entrypoint": [] if own else _quoted(launch.command[:1]),
        "command": _quoted(command),
        "environment": {name: _Quoted(value) for name, value in sorted(variables.items())},
        **_network(launch, container),
        "volumes": [
            {
                "type": "bind",
                "source": mount.source,
                "target": mount.target,
                "read_only": mount.read_only,
                "bind": {"create_host_path": False},
            }
            for mount in container.mounts
        ],
        "secrets": [_secret(secret) for secret in container.secrets],
        "user": _Quoted(container.user) if container.user else "",
        "init": True,
        "restart": "unless-stopped",
        **_limits(container),
        "healthcheck": _health(launch, container),
        "deploy": _device(launch, container),
        "labels": {
            "gpuslice.stack": _Quoted(launch.stack),
            **{n: _Quoted(value) for n, value in container.labels if n in _LABELS and value},
        },
        "logging": {
            "driver": "json-file",
            "options": {"max-size": _Quoted(LOG_BYTES), "max-file": _Quoted(LOG_FILES)},
        },
    }
    return {key: value for key, value in found.items() if value not in ("", [], {}, None)}


def _network(launch: Launch, container: Container) -> dict[str, Any]:
    if container.network is Network.HOST:
        return {"network_mode": "host"}
    host = f"[{launch.host}]" if ":" in launch.host else launch.host
    return {"ports": [_Quoted(f"{host}:{launch.port}:{launch.port}")]}


def _limits(container: Container) -> dict[str, Any]:
    memory = f"{container.memory_mib}m" if container.memory_mib else ""
    return {
        "read_only": container.read_only or None,
        "tmpfs": [_Quoted(f"{folder}:{TMPFS}") for folder in container.writable],
        "cap_drop": ["ALL"],
        "security_opt": [_Quoted("no-new-privileges:true")],
        "shm_size": f"{container.shm_mib}m",
        "mem_limit": memory,
        "memswap_limit": memory,
        "pids_limit": container.pids,
    }


def _health(launch: Launch, container: Container) -> dict[str, Any]:
    """Ask the health path with the image's own Python; elsewhere nothing can be relied on."""
    if container.image not in _WITH_PYTHON:
        return {}
    host = "127.0.0.1" if launch.host in ("0.0.0.0", "::") else launch.host  # noqa: S104 - compared
    ask = _ASK.format(host=host, port=launch.port, path=launch.health_path)
    return {
        "test": _quoted(("CMD", "python3", "-c", ask)),
        "interval": "10s",
        "timeout": "10s",
        "retries": 3,
        "start_period": "30m",  # a large model loads for long; an answer ends it early
    }


def _device(launch: Launch, container: Container) -> dict[str, Any]:
    if not launch.slice_uuid or container.hand_in is HandIn.NONE:
        return {}
    cdi = container.hand_in is HandIn.CDI
    device = {
        "driver": "cdi" if cdi else "nvidia",
        "device_ids": [
            _Quoted(f"nvidia.com/gpu={launch.slice_uuid}" if cdi else launch.slice_uuid)
        ],
        "capabilities": ["gpu"],  # needed by the specification; CDI does not look at it
    }
    return {"resources": {"reservations": {"devices": [device]}}}


def _secret(secret: Secret) -> str | dict[str, str]:
    name = _secret_name(secret)
    if PurePosixPath(secret.target) == _SECRETS / name:
        return name
    return {"source": name, "target": secret.target}


def _secret_name(secret: Secret) -> str:
    return PurePosixPath(secret.target).name


def _sources(file: ComposeFile) -> Iterator[tuple[Secret, dict[str, str]]]:
    """List every secret that a container reads, once, and where it is."""
    seen = set()
    for service in (*file.servers, file.gateway):
        for secret in service.launch.container.secrets if service.launch.container else ():
            if secret.name not in seen:
                seen.add(secret.name)
                yield secret, dict(file.secrets[secret.name])


def _quoted(texts: Sequence[str]) -> list[str]:
    return [_Quoted(text) for text in texts]


def _yaml(value: Mapping[str, Any], unknown: Sequence[Unknown]) -> str:
    text = yaml.dump(
        dict(value), Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True
    ).replace("$", "$$")
    for slice_ in unknown:
        text = text.replace(
            slice_.stands_for, f"${{{slice_.variable}:?UUID of its slice, see nvidia-smi -L}}"
        )
    return text
