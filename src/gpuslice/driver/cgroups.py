"""Which container or service a process belongs to, told by its control groups.

Pure: it reads the text of ``/proc/PID/cgroup`` and asks no container engine, which may not be
there, may hang, and need not be ours. Both versions of control groups name their paths alike.

Sources: cgroups(7); the paths are those that Docker, Podman, containerd, CRI-O and the kubelet make
with either of their cgroup drivers (systemd and cgroupfs).
"""

from __future__ import annotations

import re

from gpuslice.model.gpu import Container

_ID = r"(?P<id>[0-9a-f]{64})"
_SCOPE = re.compile(rf"(?P<kind>docker|libpod|cri-containerd|crio|nerdctl)[-:]{_ID}")
_FOLDER = re.compile(rf"/(?P<kind>docker)/{_ID}")
_IN_POD = re.compile(rf"/{_ID}(?:/|$)")
_POD = re.compile(r"/kubepods.*?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})")
_SERVICE = re.compile(r"/system\.slice/(?:[^/]+\.slice/)*(?P<unit>[\w@.:\\-]+\.service)(?:/|$)")

_RUNTIMES = {
    "docker": "docker",
    "libpod": "podman",
    "cri-containerd": "containerd",
    "crio": "cri-o",
    "nerdctl": "nerdctl",
}


def container_of(cgroup: str) -> Container | None:
    """Name the container of a process, or None when it is in none that is known by its path.

    Args:
        cgroup: What ``/proc/PID/cgroup`` says.
    """
    for path in _paths(cgroup):
        pod = _POD.search(path)
        found = _SCOPE.search(path) or _FOLDER.search(path)
        if found:
            return _container(found["id"], _RUNTIMES[found["kind"]], pod)
        if pod and (plain := _IN_POD.search(path, pod.end())):
            return _container(plain["id"], "", pod)
    return None


def service_of(cgroup: str) -> str:
    """Name the systemd unit that runs a process as a system service, or ""."""
    for path in _paths(cgroup):
        if found := _SERVICE.search(path):
            return found["unit"]
    return ""


def _paths(cgroup: str) -> list[str]:
    """Return the path of every line ``ID:CONTROLLERS:PATH``."""
    return [line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") >= 2]


def _container(container_id: str, runtime: str, pod: re.Match[str] | None) -> Container:
    uid = pod["uid"].replace("_", "-") if pod else ""
    return Container(id=container_id, runtime=runtime, pod=uid)
