"""Launches of programs that behave badly, and the runtime that has to live with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builders import a_launch
from docker_images import TROUBLE, USER
from gpuslice.model.demand import ReplicaId
from gpuslice.model.machine import Machine
from gpuslice.model.server import Container, HandIn, Launch, Network
from gpuslice.runtime.docker.runtime import DockerRuntime
from gpuslice.runtime.ports import free_port


def trouble(image: str, *words: str, model: str = "chat", **container: Any) -> Launch:
    """The launch of a program of `docker_trouble.py`, confined as a server is.

    Args:
        image: The image.
        words: What it does, and how.
        model: Name of the model it stands for.
        container: What its container has that is not usual.
    """
    usual: dict[str, Any] = {
        "image": image,
        "user": USER,
        "read_only": True,
        "writable": ("/tmp",),
        "memory_mib": 64,
        "pids": 64,
        "network": Network.HOST,
        "hand_in": HandIn.NONE,
    }
    return a_launch(
        *("python3", TROUBLE, *words),
        replica=ReplicaId(model, 0),
        port=free_port(),
        container=Container(**{**usual, **container}),
    )


def a_home(folder: Path) -> Machine:
    """A machine of ours with its state in a folder."""
    return Machine(root=folder / "sim-a100-80gb", simulation="a100-80gb")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return a_home(tmp_path / "home")


@pytest.fixture
def runtime(machine: Machine, docker_engine: str) -> Iterator[DockerRuntime]:
    """The runtime of a machine; its containers are removed afterwards."""
    runtime = DockerRuntime(machine, host=docker_engine)
    yield runtime
    runtime.stop_all(runtime.list(), grace_s=0)
    runtime.sweep()
