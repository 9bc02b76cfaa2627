"""The two files on disk survive a kill, and nothing foreign is taken for them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from builders import a_desired, a_desired_model, a_record, a_slice, owned
from gpuslice.apply.record import Entry, Journal, RecordStore
from gpuslice.errors import RecordError
from gpuslice.model.desired import Record
from gpuslice.model.geometry import Placement
from gpuslice.model.plan import PlannedSlice

FULL = a_record(
    owned(a_slice(), "chat"),
    owned(a_slice(gpu_instance_id=4, placement=Placement(4, 2))),
    desired=a_desired(
        a_desired_model(args=("--a", "b c"), environment=(("KEY", "wörth"),)),
        a_desired_model("coder", engine="vllm", source="Qwen/Qwen3-4B", command=()),
    ),
    mig_enabled=("GPU-1",),
)
PLANNED = PlannedSlice(
    gpu_uuid="GPU-1", placement=Placement(2, 2), profile="2g.20gb", profile_id=14, memory_mib=19968
)
JOURNAL = Journal(
    before=FULL,
    entries=(
        Entry(gpu_uuid="GPU-1", enabled_mig=True, done=True),
        Entry(gpu_uuid="GPU-1", destroyed=a_slice(), done=True),
        Entry(gpu_uuid="GPU-1", created=PLANNED),
    ),
)


class Killed(BaseException):
    """Stands for a kill: nothing in the program may catch it."""


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "machine" / "record.json", tmp_path / "machine" / "change.json")


@pytest.fixture
def record_file(tmp_path: Path) -> Path:
    return tmp_path / "machine" / "record.json"


def test_where_nothing_is_recorded_the_record_is_empty_and_no_change_is_under_way(
    store: RecordStore,
) -> None:
    assert store.read_record() == Record()
    assert store.read_journal() is None
    store.end_journal()


@pytest.mark.parametrize("record", [Record(), FULL])
def test_a_record_comes_back_as_it_was_written(store: RecordStore, record: Record) -> None:
    store.write_record(record)
    assert store.read_record() == record


def test_a_journal_comes_back_as_it_was_written_until_it_is_ended(store: RecordStore) -> None:
    store.write_journal(JOURNAL)
    assert store.read_journal() == JOURNAL
    store.end_journal()
    assert store.read_journal() is None


def test_both_files_are_for_their_owner_only_whatever_the_umask(
    store: RecordStore, record_file: Path
) -> None:
    before = os.umask(0)
    try:
        store.write_record(FULL)
        store.write_journal(JOURNAL)
    finally:
        os.umask(before)
    for path in record_file.parent.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert record_file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("version", [1, 3])
def test_a_journal_of_another_version_is_not_read_and_a_remedy_is_named(
    store: RecordStore, tmp_path: Path, version: int
) -> None:
    store.write_journal(replace(JOURNAL, version=version))
    with pytest.raises(RecordError, match=f"journal of version {version}") as caught:
        store.read_journal()
    assert f"mv {tmp_path}/machine/change.json" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"version": 2}', '{"version": "x"}']
)
def test_a_damaged_journal_is_named_and_left_where_it_is(
    store: RecordStore, tmp_path: Path, text: str
) -> None:
    store.write_journal(JOURNAL)
    journal = tmp_path / "machine" / "change.json"
    journal.write_text(text)
    with pytest.raises(RecordError, match=r"change\.json is damaged"):
        store.read_journal()
    assert journal.read_text() == text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owned": 1}', '{"boot_id": "a", "owned": [{}]}'])
def test_a_damaged_file_is_named_with_what_to_do_and_left_where_it_is(
    store: RecordStore, record_file: Path, text: str
) -> None:
    store.write_record(FULL)
    record_file.write_text(text)
    with pytest.raises(RecordError, match=r"record\.json is damaged") as caught:
        store.read_record()
    assert f"mv {record_file} {record_file}.damaged" in caught.value.hint
    assert record_file.read_text() == text


def test_a_link_in_the_place_of_a_file_is_not_followed(
    store: RecordStore, record_file: Path, tmp_path: Path
) -> None:
    store.write_record(FULL)
    elsewhere = record_file.rename(tmp_path / "elsewhere.json")
    record_file.symlink_to(elsewhere)
    with pytest.raises(RecordError, match="cannot be read"):
        store.read_record()


def test_a_link_waiting_for_the_next_write_is_replaced_and_its_target_untouched(
    store: RecordStore, record_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    record_file.parent.mkdir()
    record_file.with_name(".record.json.new").symlink_to(target)
    store.write_record(FULL)
    assert target.read_text() == "precious"
    assert not record_file.is_symlink()
    assert store.read_record() == FULL


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_not_trusted(store: RecordStore, record_file: Path) -> None:
    store.write_record(FULL)
    os.chown(record_file, 65534, -1)
    with pytest.raises(RecordError, match="belongs to user 65534"):
        store.read_record()


def test_a_kill_before_the_new_file_is_in_place_leaves_the_old_one(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_record(FULL)

    def killed(_self: Path, _target: Path) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            store.write_record(Record())

    assert store.read_record() == FULL
    store.write_record(Record(boot_id="later"))  # what the kill left behind is not in the way
    assert store.read_record() == Record(boot_id="later")


def test_a_folder_that_cannot_be_written_is_named(store: RecordStore, record_file: Path) -> None:
    record_file.mkdir(parents=True)  # a folder in the file's place
    with pytest.raises(RecordError, match=r"record\.json cannot be written") as caught:
        store.write_record(FULL)
    assert "GPUSLICE_HOME" in caught.value.hint
