"""Files of ours are old or new, never half, and nobody else's are taken for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpuslice.private_files import (
    OpenToOthersError,
    UntrustedFileError,
    make_private_folder,
    read_private,
    remove_private,
    write_private,
)

STEPS: tuple[tuple[Any, str], ...] = (
    (os, "open"),
    (os, "fdopen"),
    (os, "fsync"),
    (os, "close"),
    (Path, "unlink"),
)
STEPS += ((Path, "replace"), (Path, "mkdir"))


class Killed(BaseException):
    """Stands for a kill: nothing in the program may catch it."""


def killed_at(number: int, patch: pytest.MonkeyPatch) -> list[str]:
    """Let the process die just before its n-th dealing with the system, counted from 0."""
    done: list[str] = []

    def dying(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            if len(done) >= number:
                raise Killed
            done.append(name)
            return original(*arguments, **named)

        return step

    for owner, name in STEPS:
        patch.setattr(owner, name, dying(name, getattr(owner, name)))
    return done


@pytest.mark.parametrize("before", [None, b"the old words"])
def test_a_writer_that_is_killed_at_any_point_leaves_the_old_or_the_new_and_is_not_in_the_way(
    tmp_path: Path, before: bytes | None
) -> None:
    found = []
    for number in range(100):
        path = tmp_path / str(number) / "file"
        if before is not None:
            write_private(path, before)
        with pytest.MonkeyPatch.context() as patch:
            done = killed_at(number, patch)
            try:
                write_private(path, b"the new words")
            except Killed:
                pass
            else:
                break
        found.append(read_private(path))
        write_private(path, b"later words")
        assert read_private(path) == b"later words"
    assert done.count("fsync") == 2, "the file and its folder"
    assert set(found) == {before, b"the new words"}
    assert found == sorted(found, key=lambda data: data == b"the new words"), "never back again"


def test_files_and_folders_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    before = os.umask(0)
    try:
        write_private(path, b"words")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_file_that_is_not_there_is_none_and_may_be_removed(tmp_path: Path) -> None:
    assert read_private(tmp_path / "file") is None
    remove_private(tmp_path / "file")


def test_a_removed_file_is_gone(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"words")
    remove_private(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"precious")
    link.symlink_to(target)
    with pytest.raises(UntrustedFileError, match="it is a link"):
        read_private(link)
    write_private(link, b"ours")
    assert target.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert read_private(link) == b"ours"


def test_a_link_where_the_draft_goes_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / ".file.new").symlink_to(target)
    write_private(tmp_path / "file", b"ours")
    assert target.read_bytes() == b"precious"


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(UntrustedFileError, match="no plain file"):
        read_private(tmp_path / "file")


def test_a_secret_that_others_could_use_is_refused_and_another_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"words")
    path.chmod(0o640)
    assert read_private(path) == b"words"
    with pytest.raises(OpenToOthersError, match="mode 0640"):
        read_private(path, secret=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_files_and_folders_of_another_user_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_private(path, b"words")
    os.chown(path, 65534, -1)
    os.chown(path.parent, 65534, -1)
    with pytest.raises(UntrustedFileError, match="belongs to user 65534"):
        read_private(path)
    with pytest.raises(UntrustedFileError, match="belongs to user 65534"):
        make_private_folder(path.parent)


def test_a_folder_that_is_there_is_closed_to_others_and_a_link_is_refused(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o755)
    make_private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    link.symlink_to(folder)
    with pytest.raises(UntrustedFileError, match="it is a link"):
        make_private_folder(link)
