"""Compose files read back: what `docker compose` would ask an engine for, in the engine's words.

Small on purpose, and strict: a key that is not known here is an error. So it says that an exported
service is the container that gpuslice would run, and can run it where compose is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+):\?[^}]*\})")
_UNITS = {"s": 1, "m": 60}
_MIB = 1024 * 1024


def read_compose(text: str, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read a compose file, with its variables filled in.

    Raises:
        KeyError: One of them has no value.
    """
    given = variables or {}
    found: dict[str, Any] = yaml.safe_load(text)
    return {key: _filled(value, given) for key, value in found.items()}


def engine_request(file: dict[str, Any], name: str) -> dict[str, Any]:
    """Turn one service into the body of ``POST /containers/create``.

    Raises:
        AssertionError: The service has a key that is not known here.
    """
    service = dict(file["services"][name])
    service.pop("depends_on", None)  # an order, not a property
    network = service.pop("network_mode", "bridge")
    ports = [port.rsplit(":", 2) for port in service.pop("ports", [])]
    host = {
        "NetworkMode": network,
        "Init": service.pop("init"),
        "RestartPolicy": {"Name": service.pop("restart")},
        "LogConfig": _logging(service.pop("logging")),
        "CapDrop": service.pop("cap_drop"),
        "SecurityOpt": [opt.removesuffix(":true") for opt in service.pop("security_opt")],
        "PidsLimit": service.pop("pids_limit"),
        "ReadonlyRootfs": service.pop("read_only", False),
        "ShmSize": _bytes(service.pop("shm_size")),
        "Tmpfs": dict(entry.split(":", 1) for entry in service.pop("tmpfs", [])),
        "Mounts": _mounts(file, service),
    }
    if "mem_limit" in service:
        host["Memory"] = _bytes(service.pop("mem_limit"))
        host["MemorySwap"] = _bytes(service.pop("memswap_limit"))
    if ports:
        host["PortBindings"] = {f"{c}/tcp": [{"HostIp": ip, "HostPort": h}] for ip, h, c in ports}
    if deploy := service.pop("deploy", None):
        host["DeviceRequests"] = _devices(deploy)
    body = {
        "Image": service.pop("image"),
        "Cmd": service.pop("command", []),
        "Env": [f"{key}={value}" for key, value in sorted(service.pop("environment").items())],
        "Labels": service.pop("labels"),
        "HostConfig": host,
    }
    for key, word in (("entrypoint", "Entrypoint"), ("user", "User")):
        if key in service:
            body[word] = service.pop(key)
    if ports:
        body["ExposedPorts"] = {f"{inside}/tcp": {} for _, _, inside in ports}
    if health := service.pop("healthcheck", None):
        body["Healthcheck"] = _health(health)
    assert not service, f"not understood: {service}"
    return body


def _filled(value: Any, given: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, given) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, given) for inner in value]
    if isinstance(value, str):
        rest = _VARIABLE.sub("", value)
        assert "$" not in rest, f"compose would refuse {value}"
        return _VARIABLE.sub(lambda m: "$" if m[1] else given[m[2]], value)
    return value


def _mounts(file: dict[str, Any], service: dict[str, Any]) -> list[dict[str, Any]]:
    mounts = [
        (mount["source"], mount["target"], mount["read_only"])
        for mount in service.pop("volumes", [])
    ]
    mounts += [
        (file["secrets"][name]["file"], f"/run/secrets/{name}", True)
        for name in service.pop("secrets", [])
    ]
    return [
        {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only}
        for source, target, read_only in mounts
    ]


def _devices(deploy: dict[str, Any]) -> list[dict[str, Any]]:
    devices = deploy["resources"]["reservations"]["devices"]
    return [
        {"DeviceIDs": d["device_ids"], "Driver": d["driver"], "Capabilities": [d["capabilities"]]}
        for d in devices
    ]


def _logging(logging: dict[str, Any]) -> dict[str, Any]:
    return {"Type": logging["driver"], "Config": logging["options"]}


def _health(health: dict[str, Any]) -> dict[str, Any]:
    return {
        "Test": health["test"],
        "Interval": _nanoseconds(health["interval"]),
        "Timeout": _nanoseconds(health["timeout"]),
        "StartPeriod": _nanoseconds(health["start_period"]),
        "Retries": health["retries"],
    }


def _nanoseconds(span: str) -> int:
    return int(span[:-1]) * _UNITS[span[-1]] * 1_000_000_000


def _bytes(size: str) -> int:
    assert size.endswith("m"), size
    return int(size[:-1]) * _MIB
