"""Arguments as ctypes passes them: pointers of every kind, and what is none."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from gpuslice.simulator.arguments import (
    address,
    number,
    text,
    view,
    view_array,
    write_handle,
    write_number,
    write_text,
)
from gpuslice.simulator.codes import Code, Refusal


class Pair(ctypes.Structure):
    _fields_ = (("one", ctypes.c_uint), ("two", ctypes.c_uint))


def refusal(call: Any, *arguments: Any) -> Code:
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


def test_every_way_to_pass_a_pointer_leads_to_the_same_place() -> None:
    pair = Pair(1, 2)

    for way in (ctypes.byref(pair), ctypes.pointer(pair)):
        assert address(way) == ctypes.addressof(pair)
        assert view(way, Pair).two == 2


@pytest.mark.parametrize("what", [Pair(), ctypes.c_uint(3), 3, b"3", "3"])
def test_what_is_no_pointer_is_invalid(what: Any) -> None:
    assert refusal(address, what) is Code.INVALID_ARGUMENT


def test_nothing_is_written_through_null() -> None:
    assert address(None) == 0
    assert refusal(write_number, None, 1) is Code.INVALID_ARGUMENT
    assert refusal(view_array, None, Pair, 1) is Code.INVALID_ARGUMENT


def test_nothing_is_written_past_the_end() -> None:
    small = ctypes.c_ushort(0)

    assert refusal(write_number, ctypes.byref(small), 1) is Code.INVALID_ARGUMENT
    assert refusal(view_array, (Pair * 2)(), Pair, 3) is Code.INSUFFICIENT_SIZE
    assert refusal(write_text, ctypes.create_string_buffer(3), 3, "abc") is Code.INSUFFICIENT_SIZE
    assert refusal(write_text, ctypes.create_string_buffer(3), 9, "abc") is Code.INSUFFICIENT_SIZE


def test_an_array_may_be_passed_by_its_first_element() -> None:
    pairs = (Pair * 3)()

    view_array(ctypes.byref(pairs[0]), Pair, 3)[2].two = 7

    assert pairs[2].two == 7


def test_values_are_read_with_or_without_a_ctypes_coat() -> None:
    assert number(3) == number(ctypes.c_uint(3)) == 3
    assert text(b"abc") == text(ctypes.c_char_p(b"abc")) == "abc"
    assert refusal(number, "3") is Code.INVALID_ARGUMENT
    assert refusal(number, -1) is Code.INVALID_ARGUMENT
    assert refusal(text, ctypes.c_char_p(None)) is Code.INVALID_ARGUMENT


def test_answers_are_written_where_the_caller_looks() -> None:
    count, handle = ctypes.c_uint(0), ctypes.POINTER(Pair)()
    buffer = ctypes.create_string_buffer(8)

    write_number(ctypes.byref(count), 5)
    write_handle(ctypes.byref(handle), 0x1234)
    write_text(buffer, ctypes.c_uint(8), "GPU")

    assert count.value == 5
    assert address(handle) == 0x1234
    assert buffer.value == b"GPU"
