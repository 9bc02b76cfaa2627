"""Reading and writing the ctypes arguments that pynvml passes to a C function.

A real library gets addresses and writes through them. So do the simulated functions: whatever
pynvml passes for a pointer (``byref``, an array, a pointer) becomes an address, and a typed view
is laid over it. What a real library would crash on, such as a structure passed by value, is an
invalid argument here.
"""

from __future__ import annotations

import ctypes
from typing import Any, TypeVar

from gpuslice.simulator.codes import Code, Refusal

Argument = Any
"""Anything pynvml passes: ctypes has no common type for it."""

View = TypeVar("View", bound=Any)


def address(argument: Argument) -> int:
    """Return where a pointer argument points, or 0 for NULL.

    Raises:
        Refusal: INVALID_ARGUMENT where it is no pointer.
    """
    if isinstance(argument, int | str | bytes):
        raise Refusal(Code.INVALID_ARGUMENT)
    try:
        return ctypes.cast(argument, ctypes.c_void_p).value or 0
    except ctypes.ArgumentError as error:
        raise Refusal(Code.INVALID_ARGUMENT) from error


def view(argument: Argument, kind: type[View]) -> View:
    """Lay a structure over what a pointer argument points to.

    Raises:
        Refusal: INVALID_ARGUMENT for NULL, for no pointer, or for something too small.
    """
    where = address(argument)
    room = _room(argument)
    if where == 0 or (room is not None and room < ctypes.sizeof(kind)):
        raise Refusal(Code.INVALID_ARGUMENT)
    laid: View = kind.from_address(where)
    return laid


def view_array(argument: Argument, kind: type[View], length: int) -> Any:
    """Lay an array of so many structures over what a pointer argument points to.

    Raises:
        Refusal: INVALID_ARGUMENT for NULL or no pointer, INSUFFICIENT_SIZE for too short an array.
    """
    where = address(argument)
    if where == 0:
        raise Refusal(Code.INVALID_ARGUMENT)
    room = _room(argument)
    if room is not None and room < ctypes.sizeof(kind) * length:
        raise Refusal(Code.INSUFFICIENT_SIZE)
    return (kind * length).from_address(where)


def number(argument: Argument) -> int:
    """Read an unsigned integer passed by value.

    Raises:
        Refusal: INVALID_ARGUMENT where it is none.
    """
    value = getattr(argument, "value", argument)
    if not isinstance(value, int) or value < 0:
        raise Refusal(Code.INVALID_ARGUMENT)
    return int(value)


def text(argument: Argument) -> str:
    """Read a C string passed by value.

    Raises:
        Refusal: INVALID_ARGUMENT where it is none.
    """
    value = getattr(argument, "value", argument)
    if not isinstance(value, bytes):
        raise Refusal(Code.INVALID_ARGUMENT)
    return value.decode(errors="replace")


def write_number(argument: Argument, value: int) -> None:
    """Write an ``unsigned int`` (or an enum) where a pointer argument points."""
    view(argument, ctypes.c_uint).value = value


def write_handle(argument: Argument, value: int) -> None:
    """Write an opaque handle where a pointer argument points."""
    view(argument, ctypes.c_void_p).value = value


def write_text(argument: Argument, length: Argument, value: str) -> None:
    """Write a C string into a buffer of a stated length.

    Raises:
        Refusal: INSUFFICIENT_SIZE where it does not fit.
    """
    data = value.encode() + b"\0"
    if len(data) > number(length):
        raise Refusal(Code.INSUFFICIENT_SIZE)
    view_array(argument, ctypes.c_char, len(data)).raw = data


def _room(argument: Argument) -> int | None:
    """Bytes behind an argument where ctypes knows them.

    A bare pointer does not tell, and neither does an element of an array, behind which the rest of
    the array lies.
    """
    target: Any = getattr(argument, "_obj", argument)
    if target is argument and not isinstance(argument, ctypes.Array):
        return None
    if getattr(target, "_b_base_", None) is not None:
        return None
    return ctypes.sizeof(target)
