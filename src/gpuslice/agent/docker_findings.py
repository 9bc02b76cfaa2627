"""Can servers run in Docker here? What an engine says of itself, judged; pure but for `look`.

Separate from the doctor, because an engine has many ways of being nearly ready. None of them keeps
a stack of processes from running, so most are worth knowing rather than to be mended.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterator

from gpuslice.agent.findings import Finding, bad, good, note
from gpuslice.agent.places import SET_UP
from gpuslice.errors import RuntimeFailure
from gpuslice.model.gpu import Observed
from gpuslice.model.server import HandIn
from gpuslice.runtime.docker.facts import EngineFacts, read_facts
from gpuslice.runtime.docker.listener import on_this_machine
from gpuslice.runtime.docker.specifications import GPU_KIND

LITTLE_SPACE_GB = 30
"""With less, an image of vLLM or SGLang may not fit: about 10 GB, and more while it is unpacked."""

GENERATE = (
    "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, or with a toolkit from 1.18 on: "
    "systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"
)
_SUBJECT = "Docker"
_OLDEST, _FIRST_WITH_CDI = (20, 10), (25,)
_NO_CGROUPS = "nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place"


def look(observed: Observed | None, *, simulated: bool) -> Iterator[Finding]:
    """Ask the engine of this machine, and judge it.

    Args:
        observed: The GPUs, None where they cannot be read.
        simulated: True where no container needs a GPU.
    """
    try:
        facts = read_facts()
    except RuntimeFailure as error:
        text = f"{error.message.rstrip('.')}; servers run as processes without it"
        yield note(_SUBJECT, text, error.hint)
        return
    yield from judge(facts, free_gb=_free_gb(facts), simulated=simulated)
    if facts.cdi and observed is not None and not simulated:
        whole = all(gpu.shows_slices for gpu in observed.gpus if gpu.mig is not None)
        yield from judge_specification(facts, _slices(observed), whole=whole)


def judge(facts: EngineFacts, *, free_gb: int | None, simulated: bool) -> Iterator[Finding]:
    """Judge an engine, its hand-in of GPUs and its disk.

    Args:
        facts: What it says of itself.
        free_gb: Free space where it keeps images, GB; None where that cannot be seen.
        simulated: True where no container needs a GPU.
    """
    version = _numbers(facts.version)
    if version and version < _OLDEST:
        text = f"engine {facts.version} is too old to give a container a slice"
        yield note(_SUBJECT, text, "install a release from 20.10 on; 25 and later have CDI")
    else:
        yield good(_SUBJECT, f"engine {facts.version}")
    if not simulated:
        yield from _giving(facts)
    if free_gb is not None and free_gb < LITTLE_SPACE_GB:
        text = f"only {free_gb} GB are free in {facts.root_dir}; an image of vLLM takes about 10"
        yield note(_SUBJECT, text, "docker system df, then docker image prune")


def judge_specification(
    facts: EngineFacts, slices: Collection[str], *, whole: bool = True
) -> Iterator[Finding]:
    """Hold the devices that an engine knows by CDI against the slices that exist.

    Args:
        facts: What it says of itself; CDI is on.
        slices: UUIDs of the MIG devices that can be seen.
        whole: True where no slice is out of sight.
    """
    if not facts.cdi_devices:
        yield note(_SUBJECT, "CDI is on, but no specification names an NVIDIA device", GENERATE)
        return
    known = {device.removeprefix(f"{GPU_KIND}=") for device in facts.cdi_devices}
    listed = {name for name in known if name.startswith("MIG-")}
    if missing := sorted(set(slices) - known):
        text = f"its CDI specification is stale: it does not know {_some(missing)}"
        yield (bad if facts.hand_in is HandIn.CDI else note)(_SUBJECT, text, GENERATE)
    elif whole and (gone := sorted(listed - set(slices))):
        text = f"its CDI specification is stale: it still names {_some(gone)}, which has gone"
        yield note(_SUBJECT, text, GENERATE)
    else:
        yield good(_SUBJECT, "its CDI specification knows every slice that can be seen")


def _giving(facts: EngineFacts) -> Iterator[Finding]:
    """Say how a container would get its slice."""
    match facts.hand_in:
        case HandIn.CDI:
            yield good(_SUBJECT, "it gives containers their slices by CDI")
        case HandIn.REQUEST:
            yield good(_SUBJECT, "its NVIDIA runtime is set up")
            if facts.rootless:
                text = "it is rootless: NVIDIA's runtime must not touch control groups"
                yield note(_SUBJECT, text, _NO_CGROUPS)
        case _:
            yield note(_SUBJECT, "it has no NVIDIA runtime: it cannot give a GPU", SET_UP)
    version = _numbers(facts.version)
    if _OLDEST <= version < _FIRST_WITH_CDI:
        text = f"{facts.version} has no CDI: containers may lose their GPU when systemd is reloaded"
        yield note(_SUBJECT, text, "25 and later have it")


def _free_gb(facts: EngineFacts) -> int | None:
    if not facts.root_dir or not on_this_machine(facts.host):
        return None
    try:
        return int(shutil.disk_usage(facts.root_dir).free // 10**9)
    except OSError:
        return None


def _slices(observed: Observed) -> frozenset[str]:
    return frozenset(s.uuid for gpu in observed.gpus for s in gpu.slices if s.uuid)


def _some(uuids: list[str]) -> str:
    more = f" and {len(uuids) - 1} more" if len(uuids) > 1 else ""
    return f"{uuids[0]}{more}"


def _numbers(version: str) -> tuple[int, ...]:
    """Read the leading numbers of a release; () where it has none, as in a build of one's own."""
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()
