"""Whatever bytes stand in a file: it is a value, or one bounded error that names a line.

The ordinary run tries a few hundred files of each format. A long one::

    GPUSLICE_FUZZ_EXAMPLES=200000 pytest tests/property/test_hostile_files.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gpuslice.errors import StackError
from gpuslice.stack import document as document_module
from gpuslice.stack.fleet import parse_fleet
from gpuslice.stack.load import parse_stack
from gpuslice.stack.mig_parted import parse_mig_config
from gpuslice.stack.problem import Mark, Problem
from gpuslice.stack.read import MOST_TOLD
from property.strategies_files import GOOD_FLEETS, GOOD_MIG_PARTED, GOOD_STACKS, damaged

EXAMPLES = int(os.environ.get("GPUSLICE_FUZZ_EXAMPLES", "150"))
LONGEST_LINE = 2100
"""Of a report, in characters: a sentence of 600, and a place of twenty keys of 64 and more."""

_PLACED = re.compile(r"hostile\.yaml:[1-9][0-9]*:[1-9][0-9]*: .+")

thoroughly = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def parse_any_label(data: bytes) -> object:
    """Read a mig-parted file; that none of its labels was named is fine."""
    return parse_mig_config(data, file="hostile.yaml", label="mixed")


def check(parse: Callable[[bytes], object], data: bytes) -> None:
    """Hold what one reader makes of some bytes against what is promised."""
    error = refusal(parse, data)
    if error is None:
        return
    said = (error.message, error.hint, *error.details)
    assert len(error.details) <= MOST_TOLD
    assert all(text.isprintable() and len(text) <= LONGEST_LINE for text in said)
    if error.code == StackError.code:
        assert error.details
        assert all(_PLACED.fullmatch(line) for line in error.details)


def refusal(parse: Callable[[bytes], object], data: bytes) -> StackError | None:
    """Return why some bytes were refused, or None; any other exception ends the test."""
    try:
        parse(data)
    except StackError as error:
        return error
    return None


def read_stack(data: bytes) -> object:
    return parse_stack(data, file="hostile.yaml")


def read_fleet(data: bytes) -> object:
    return parse_fleet(data, file="hostile.yaml")


READERS = (read_stack, read_fleet, parse_any_label)


@thoroughly
@given(damaged(GOOD_STACKS))
def test_a_damaged_stack_file_is_read_or_refused(data: bytes) -> None:
    check(read_stack, data)


@thoroughly
@given(damaged(GOOD_FLEETS))
def test_a_damaged_fleet_file_is_read_or_refused(data: bytes) -> None:
    check(read_fleet, data)


@thoroughly
@given(damaged(GOOD_MIG_PARTED))
def test_a_damaged_mig_parted_file_is_read_or_refused(data: bytes) -> None:
    check(parse_any_label, data)


@thoroughly
@given(st.sampled_from(READERS), st.binary(max_size=2000))
@example(read_stack, b"\xef\xbb\xbf")
@example(read_stack, b"\xfe\xff\x00a")
def test_any_bytes_are_read_or_refused(reader: Callable[[bytes], object], data: bytes) -> None:
    check(reader, data)


@settings(max_examples=min(EXAMPLES, 5000))
@given(st.sampled_from(READERS), damaged((*GOOD_STACKS, *GOOD_FLEETS, *GOOD_MIG_PARTED)))
def test_the_same_holds_without_libyaml(reader: Callable[[bytes], object], data: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_module, "_LOADER", yaml.SafeLoader)
        check(reader, data)


def test_good_files_are_good() -> None:
    """Were they not, the mutations would only ever damage what is broken already."""
    for text in GOOD_STACKS:
        parse_stack(text.encode())
    for text in GOOD_FLEETS:
        parse_fleet(text.encode())
    for text in GOOD_MIG_PARTED:
        parse_mig_config(text.encode(), label="mixed")


def test_a_report_is_rendered_in_one_bounded_line() -> None:
    deep = tuple("k" * 1000 for _ in range(20))
    problem = Problem(mark=Mark(line=1, column=1), path=deep, text="t" * 10_000)
    assert len(problem.render("hostile.yaml")) <= LONGEST_LINE
