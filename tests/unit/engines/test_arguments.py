from __future__ import annotations

import pytest

from gpuslice.engines.arguments import flags_in, merge_arguments, refuse_arguments
from gpuslice.errors import StackError
from gpuslice.model.demand import ReplicaId

OURS = (("--max-num-seqs", "8"), ("--tensor-parallel-size", "1"))


def test_user_arguments_come_last() -> None:
    merged = merge_arguments(OURS, ("--enable-prefix-caching",))
    assert merged == (
        *("--max-num-seqs", "8", "--tensor-parallel-size", "1"),
        "--enable-prefix-caching",
    )


@pytest.mark.parametrize(
    "theirs",
    [
        ("--max-num-seqs", "16"),
        ("--max-num-seqs=16",),
        ("--max_num_seqs", "16"),
        ("--max_num_seqs=16",),
    ],
)
def test_a_flag_the_user_gives_replaces_ours_however_it_is_spelt(theirs: tuple[str, ...]) -> None:
    assert merge_arguments(OURS, theirs) == ("--tensor-parallel-size", "1", *theirs)


def test_short_spelling_replaces_the_long_flag() -> None:
    merged = merge_arguments(OURS, ("-tp", "2"), aliases={"-tp": "--tensor-parallel-size"})
    assert merged == ("--max-num-seqs", "8", "-tp", "2")


def test_values_are_never_taken_for_flags() -> None:
    assert flags_in(("--chat-template", "max-num-seqs", "file=--port")) == {"--chat-template"}


def test_reserved_flags_are_all_named_with_their_reasons() -> None:
    reserved = {"--port": "chosen for you", "--host": "loopback only", "--alias": "the name"}
    with pytest.raises(StackError) as caught:
        refuse_arguments(ReplicaId("chat", 0), ("--port=1", "--host", "0.0.0.0"), reserved)
    assert caught.value.message == "models.chat.args: --host, --port cannot be set here"
    assert caught.value.details == ("--host: loopback only", "--port: chosen for you")
