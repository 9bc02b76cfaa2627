from __future__ import annotations

import pytest

from gpuslice.engines.fingerprint import config_hash

COMMAND = ("serve", "--port", "1")


def test_hash_does_not_change_between_versions() -> None:
    # Pinned: a changed algorithm would replace every running server at the next `up`.
    assert config_hash(COMMAND, (("A", "1"),), "MIG-1") == "d07598ee1c040ffa"


def test_order_of_variables_does_not_matter() -> None:
    one = config_hash(COMMAND, (("A", "1"), ("B", "2")))
    assert one == config_hash(COMMAND, (("B", "2"), ("A", "1")))


@pytest.mark.parametrize(
    "other",
    [
        config_hash(("serve", "1", "--port"), (("A", "1"),), "MIG-1"),
        config_hash(("serve", "--port 1"), (("A", "1"),), "MIG-1"),
        config_hash(COMMAND, (("A", "2"),), "MIG-1"),
        config_hash(COMMAND, (), "MIG-1"),
        config_hash(COMMAND, (("A", "1"),), "MIG-2"),
        config_hash(COMMAND, (("A", "1"),), "MIG-1", ("key",)),
    ],
)
def test_everything_that_matters_changes_the_hash(other: str) -> None:
    assert other != config_hash(COMMAND, (("A", "1"),), "MIG-1")
