"""What must hold between the keys that say where servers run: runtimes, images, programs, ports.

Separate from the other rules, because these hold across the whole file: a model that says nothing
runs where the stack says, and its ports may be another model's or the gateway's. Like them, it
looks at raw values, tolerates anything in them, and speaks only where it is sure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpuslice.stack.problem import shortened
from gpuslice.stack.rules import MOST_FOR_A_TARGET, Breach, given

USUAL_GATEWAY_PORT = 8080
_MOST_PORT = 65535


def place_breaches(stack: Mapping[str, object]) -> list[Breach]:
    """Find every rule about places that a stack file breaks.

    Args:
        stack: The file's keys and values as they were written; any of them may be wrong.
    """
    models = stack.get("models")
    sound = {
        name: model
        for name, model in (models.items() if isinstance(models, Mapping) else ())
        if isinstance(model, Mapping)
    }
    gateway = stack.get("gateway")
    return [
        *(
            Breach(path=("models", name, *breach.path), text=breach.text)
            for name, model in sound.items()
            for breach in _model(model, stack.get("runtime"))
        ),
        *_ports(sound, gateway if isinstance(gateway, Mapping) else {}),
    ]


def gateway_breaches(gateway: Mapping[str, object]) -> list[Breach]:
    """Find every rule about places that the gateway's section breaks."""
    if given(gateway, "image") and gateway.get("runtime", "process") == "process":
        text = "is only used with 'runtime: docker'; add that line to gateway, or leave it out"
        return [Breach(path=("image",), text=text)]
    return []


def _model(model: Mapping[str, object], usual: object) -> Iterator[Breach]:
    runtime = model.get("runtime", usual)
    if runtime == "process":
        yield from _only_in_containers(model)
    elif runtime == "docker" or given(model, "image"):
        yield from _not_in_containers(model)
    if runtime == "docker" and model.get("engine") == "command" and not given(model, "image"):
        text = "'command' in a container needs the key image: the image that has your server"
        yield Breach(path=("engine",), text=text)


def _only_in_containers(model: Mapping[str, object]) -> Iterator[Breach]:
    for key in ("image", "host_memory"):
        if given(model, key):
            text = "is only used in a container, and this model has 'runtime: process'"
            yield Breach(path=(key,), text=f"{text}; leave it out, or write runtime: docker")


def _not_in_containers(model: Mapping[str, object]) -> Iterator[Breach]:
    program, command = model.get("program"), model.get("command")
    first = command[0] if isinstance(command, list | tuple) and command else None
    for path, named in ((("program",), program), (("command", 0), first)):
        if isinstance(named, str) and "/" in named and not named.startswith("/"):
            text = f"'{shortened(named)}' is a path from the stack file's folder, which a container"
            yield Breach(path=path, text=f"{text} does not see; name a program of the image")


def _ports(models: Mapping[str, object], gateway: Mapping[str, object]) -> Iterator[Breach]:
    """Find models whose ports run past the last one, or into each other's or the gateway's."""
    gateway_port = gateway.get("port", USUAL_GATEWAY_PORT)
    before: list[tuple[str, range]] = []
    for name, model in models.items():
        if (ports := _ports_of(model)) is None:
            continue
        path, which = ("models", name, "port"), _written(ports)
        if ports[-1] > _MOST_PORT:
            yield Breach(path=path, text=f"its replicas take {which}, past {_MOST_PORT:d}")
        if gateway_port in ports:
            text = f"its replicas take {which}, and {gateway_port} is the gateway's"
            yield Breach(path=path, text=text)
        for other, theirs in before:
            if ports[0] <= theirs[-1] and theirs[0] <= ports[-1]:
                text = f"its replicas take {which}, and '{shortened(other)}' {_written(theirs)}"
                yield Breach(path=path, text=text)
                break
        before.append((name, ports))


def _ports_of(model: object) -> range | None:
    """Say which ports a model's replicas take, None where it pins none or is written wrongly."""
    assert isinstance(model, Mapping), "only mappings are asked"
    first = model.get("port")
    count = model.get("replicas", MOST_FOR_A_TARGET if given(model, "target") else 1)
    if not isinstance(first, int) or not isinstance(count, int) or min(first, count) < 1:
        return None
    return range(first, first + count)


def _written(ports: range) -> str:
    return f"{ports[0]} to {ports[-1]}" if len(ports) > 1 else f"port {ports[0]}"
