"""Our own flags and the user's in one argument list: the user's win, and no flag stands twice.

Separate because two engines need it and because the rule deserves tests of its own: a repeated
flag is decided differently by every argument parser, so none may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from gpuslice.errors import StackError
from gpuslice.model.demand import ReplicaId

Flags = Sequence[tuple[str, str]]


def merge_arguments(
    ours: Flags, theirs: Sequence[str], *, aliases: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Put the user's arguments behind ours and leave out what they replace.

    Args:
        ours: Our flags, each with its value.
        theirs: The user's arguments as written: ``--flag value``, ``--flag=value`` or ``--flag``.
        aliases: Short spellings of our flags, such as ``-tp``.

    Returns:
        One argument list.
    """
    replaced = flags_in(theirs, aliases=aliases)
    kept = [part for flag, value in ours if flag not in replaced for part in (flag, value)]
    return (*kept, *theirs)


def refuse_arguments(
    replica: ReplicaId, theirs: Sequence[str], reserved: Mapping[str, str]
) -> None:
    """Refuse flags that gpuslice has to set itself.

    Args:
        replica: Whose arguments they are.
        theirs: The user's arguments.
        reserved: Each refused flag and why, in words.

    Raises:
        StackError: One of them is there; ``details`` has one line for each.
    """
    # Argument parsers take the beginning of a flag for the flag: --hos is --host.
    given = {flag for flag in flags_in(theirs) if len(flag) > len("--") or flag in reserved}
    found = sorted(flag for flag in reserved if any(map(flag.startswith, given)))
    if found:
        raise StackError(
            f"models.{replica.model}.args: {', '.join(found)} cannot be set here",
            hint="remove it from args",
            details=tuple(f"{flag}: {reserved[flag]}" for flag in found),
        )


def flags_in(
    arguments: Collection[str], *, aliases: Mapping[str, str] | None = None
) -> frozenset[str]:
    """Name the flags in an argument list; ``--max_model_len=1`` counts as ``--max-model-len``."""
    return frozenset(
        _canonical(argument, aliases or {}) for argument in arguments if argument.startswith("-")
    )


def _canonical(argument: str, aliases: Mapping[str, str]) -> str:
    flag = argument.partition("=")[0]
    if flag.startswith("--"):
        flag = flag.replace("_", "-")
    return aliases.get(flag, flag)
