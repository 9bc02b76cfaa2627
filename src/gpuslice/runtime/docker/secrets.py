"""Secrets that a container reads from a file: written for it alone, gone with it.

Separate because a secret must never stand where a description of the container shows it: neither
in its environment nor on its command line, both of which ``docker inspect`` prints. What the
description shows is the path of a file that the container's user can read and nobody else.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gpuslice.errors import SecretMissingError
from gpuslice.model.server import Launch, Secret
from gpuslice.private_files import make_private_folder, read_private, write_private
from gpuslice.runtime.docker.hub import hub_token

HF_TOKEN = "hf-token"  # noqa: S105 - the name of a secret, not one


def write_secrets(launch: Launch, folder: Path) -> dict[str, Path]:
    """Write what a launch's container is to read.

    Args:
        launch: It has a container.
        folder: Where secrets of this machine's containers lie.

    Returns:
        The file of each secret, by its name.

    Raises:
        SecretMissingError: One of them is not there any more, or can be read by others.
    """
    container = launch.container
    if container is None or not container.secrets:
        return {}
    own = folder / launch.name
    make_private_folder(folder)
    make_private_folder(own)
    owner = _numbers(container.user)
    files = {}
    for secret in container.secrets:
        file = own / secret.name.rpartition("/")[2]
        write_private(file, _value_of(secret))
        if owner is not None and os.geteuid() == 0:
            os.chown(file, *owner, follow_symlinks=False)
        files[secret.name] = file
    return files


def remove_secrets(name: str, folder: Path) -> None:
    """Remove what was written for a container, by the name of its launch."""
    shutil.rmtree(folder / name, ignore_errors=True)


def _value_of(secret: Secret) -> bytes:
    if secret.name == HF_TOKEN:
        value = hub_token().encode()
    else:
        value = read_private(Path(secret.name), secret=True) or b""
    if not value:
        raise SecretMissingError(
            f"{secret.name} is needed in a container and is not there any more.",
            hint="log in again (hf auth login), or set HF_TOKEN"
            if secret.name == HF_TOKEN
            else "run `gpuslice up` again",
        )
    return value


def _numbers(user: str) -> tuple[int, int] | None:
    uid, _, gid = user.partition(":")
    return (int(uid), int(gid or uid)) if uid.isdecimal() else None
