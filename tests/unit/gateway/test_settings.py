from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builders import some_gateway_settings
from gpuslice.errors import RecordError, SecretMissingError
from gpuslice.gateway.settings import new_settings, read_keys_file, read_settings, write_settings


def keys_file(folder: Path, text: str, *, mode: int = 0o600) -> Path:
    file = folder / "keys"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_settings_survive_being_written_and_read(tmp_path: Path) -> None:
    settings = some_gateway_settings(client_keys=("one", "two"), policy="round_robin")
    write_settings(settings, tmp_path / "host" / "gateway.json")
    assert read_settings(tmp_path / "host" / "gateway.json") == settings


def test_file_belongs_to_its_owner_only_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "gateway.json"
    write_settings(some_gateway_settings(), file)
    write_settings(some_gateway_settings(port=8081), file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert read_settings(file).port == 8081


def test_every_start_takes_another_control_key() -> None:
    first = new_settings(host="127.0.0.1", port=8080, metrics_port=1)
    assert len(first.control_key) >= 32
    assert first.control_key != first.with_new_control_key().control_key


def test_keys_are_not_shown() -> None:
    shown = repr(some_gateway_settings(control_key="hunter2", client_keys=("hunter3",)))
    assert "hunter" not in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "gateway.json"
    write_settings(some_gateway_settings(), file)
    file.chmod(mode)
    with pytest.raises(SecretMissingError, match=f"mode 0{mode:o}") as caught:
        read_settings(file)
    assert f"chmod 600 {file}" in caught.value.hint


def test_link_is_refused(tmp_path: Path) -> None:
    write_settings(some_gateway_settings(), tmp_path / "elsewhere.json")
    (tmp_path / "gateway.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RecordError, match="cannot read"):
        read_settings(tmp_path / "gateway.json")


def test_missing_file_is_an_error_with_a_way_on(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        read_settings(tmp_path / "gateway.json")
    assert caught.value.hint == "gpuslice down, then gpuslice up"


@pytest.mark.parametrize(
    "changes",
    [
        {"port": "8080"},
        {"control_key": ""},
        {"control_key": None},
        {"policy": "random"},
        {"client_keys": [1]},
        {"client_keys": None},
        {"colour": "blue"},
    ],
)
def test_garbled_file_is_refused_without_showing_it(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    file = tmp_path / "gateway.json"
    write_settings(some_gateway_settings(control_key="hunter2"), file)
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(RecordError, match="garbled") as caught:
        read_settings(file)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"host": "x"}'])
def test_file_that_is_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordError, match="garbled"):
        read_settings(keys_file(tmp_path, text))


def test_keys_file_has_one_key_a_line(tmp_path: Path) -> None:
    file = keys_file(tmp_path, "# for the web shop\nkey-one\n\n  key-two  \nkey-one\n")
    assert read_keys_file(file) == ("key-one", "key-two")


def test_keys_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = keys_file(tmp_path, "hunter2\n", mode=0o644)
    with pytest.raises(SecretMissingError) as caught:
        read_keys_file(file)
    assert caught.value.hint == f"change the keys, then: chmod 600 {file}"


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_keys_file_without_a_key_does_not_let_everybody_in(tmp_path: Path, text: str) -> None:
    with pytest.raises(SecretMissingError, match="holds no key"):
        read_keys_file(keys_file(tmp_path, text))


@pytest.mark.parametrize("key", ["two words", "schlüssel", "tab\there"])
def test_key_that_no_header_can_carry_is_refused_without_showing_it(
    tmp_path: Path, key: str
) -> None:
    with pytest.raises(SecretMissingError, match="key 2 of") as caught:
        read_keys_file(keys_file(tmp_path, f"good\n{key}\n"))
    assert key not in str(caught.value)


def test_missing_keys_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match="No such file") as caught:
        read_keys_file(tmp_path / "keys")
    assert f"chmod 600 {tmp_path / 'keys'}" in caught.value.hint


def test_keys_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match="Is a directory"):
        read_keys_file(tmp_path)


def test_keys_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys", 0o600)
    with pytest.raises(SecretMissingError, match="no plain file"):
        read_keys_file(tmp_path / "keys")
