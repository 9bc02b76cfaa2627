"""How values are written in a stack file: names, memory, profiles, choices of GPUs.

Separate from the schema, because each is a little language with its own pitfalls and its own words
for them. A parser here takes what YAML gave and returns the value, or raises `NotationError` with
what is wrong and what would be right.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal, Self

from pydantic_core import PydanticCustomError

from gpuslice.stack.problem import shortened, shown_value

GpuChoice = Literal["all"] | tuple[int | str, ...]
"""``all``, or NVML indexes and ``GPU-…`` UUIDs."""

MEMORY_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(GiB|MiB|TiB|GB|MB)$"
PROFILE_PATTERN = r"^[1-9][0-9]?g\.[0-9]{1,4}gb(\+me|\+me\.all|-me|\+gfx)?$"
STACK_NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
MODEL_NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
HOST_PATTERN = r"^[A-Za-z0-9:][A-Za-z0-9._:%-]{0,252}$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
IMAGE_PATTERN = (
    r"^((localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:[0-9]))(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$"
)
ENGINE_ADDRESS_PATTERN = r"^(unix:///[^\s]+|tcp://[A-Za-z0-9.:\[\]_-]+)$"

_MIB = 1024**2
_UNITS = {"MiB": _MIB, "GiB": 1024**3, "TiB": 1024**4, "MB": 1000**2, "GB": 1000**3}
_LARGEST_MIB = 16 * 1024**2  # 16 TiB: beyond any GPU, and small enough for every sum
_MOST_SLICES = 64  # more than any GPU holds
_LONGEST_IMAGE = 512  # a name of 255, a tag of 128, a digest
_LONGEST_PRODUCT = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE
_LARGEST_INDEX = 99_999  # of the largest fleet on paper
_GPU_UUID = re.compile(r"GPU-[0-9a-fA-F-]{8,64}")
_OUR_VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NotationError(PydanticCustomError):
    """A value is not written as it has to be; the message is fit to be shown as it is."""

    def __new__(cls, text: str) -> Self:
        """Carry the text through pydantic untouched."""
        return super().__new__(cls, "notation", "{text}", {"text": text})


class BreachError(PydanticCustomError):
    """Values that cannot stand side by side; the message is fit to be shown as it is."""

    def __new__(cls, text: str) -> Self:
        """Carry the text through pydantic untouched."""
        return super().__new__(cls, "breach", "{text}", {"text": text})


def stack_name(value: object) -> object:
    """Check the name of a stack."""
    return _matching(value, STACK_NAME_PATTERN, "lower-case letters, digits and '-', at most 40")


def model_name(value: str) -> str:
    """Check the name of a model, which is what clients send as ``"model"``."""
    wanted = "letters, digits, '-', '_' and '.', at most 63, starting with a letter or digit"
    if not re.fullmatch(MODEL_NAME_PATTERN, value):
        raise NotationError(f"a model's name is made of {wanted}")
    return value


def currency(value: object) -> object:
    """Check a currency code."""
    return _matching(value, CURRENCY_PATTERN, "a code of three capitals, such as EUR")


def memory_mib(value: object) -> object:
    """Turn ``18GiB``, ``18432MiB``, ``19GB`` or a whole number of MiB into MiB, rounded up."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise NotationError(f"must be like 18GiB, 18432MiB or 19GB, not {shown_value(value)}")
    mib = value if isinstance(value, int) else _measured_mib(value)
    if not 1 <= mib <= _LARGEST_MIB:
        raise NotationError(f"must be between 1 MiB and {_LARGEST_MIB} MiB (16 TiB), not {mib} MiB")
    return mib


def profile_name(value: object) -> object:
    """Check how a profile is written; whether a GPU offers it is the planner's question."""
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
        raise NotationError(_NUMBER_REFUSED.format(value=shortened(str(value))))
    if not isinstance(value, str):
        raise NotationError(f"must be a profile name such as 3g.40gb, not {shown_value(value)}")
    if re.fullmatch(PROFILE_PATTERN, value):
        return value
    raise NotationError(f"'{shortened(value)}' is not a profile name{_profile_advice(value)}")


def several_profiles(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check a list of profiles, any of which will do."""
    if not names:
        raise NotationError("names no profile; write a list such as [1g.10gb, 2g.20gb]")
    if doubles := [name for name, count in Counter(names).items() if count > 1]:
        raise NotationError("; ".join(f"names {name} more than once" for name in doubles))
    return names


def product_name(value: str) -> str:
    """Check the name of a product; whether a GPU is called so is not asked here."""
    if not value.strip():
        raise NotationError("names no product; 'gpuslice gpus' shows them")
    if len(value) > _LONGEST_PRODUCT:
        raise NotationError(f"is no product's name: longer than {_LONGEST_PRODUCT} characters")
    return value


def not_empty(value: dict[str, Any]) -> dict[str, Any]:
    """Check that a mapping has something in it."""
    if not value:
        raise NotationError("is empty; give it a value or leave the line out")
    return value


def spread(value: object) -> int | None:
    """Turn ``true`` or a number into how many replicas may lie on one GPU; None for any number."""
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, int) and 1 <= value <= _MOST_SLICES:
        return value
    wanted = f"true (one replica on a GPU), or at most how many, from 1 to {_MOST_SLICES}"
    raise NotationError(f"must be {wanted}, not {shown_value(value)}")


def milli(value: float) -> int:
    """Turn a number with decimals into thousandths, rounded half up."""
    return int((Decimal(str(value)) * 1000).to_integral_value(ROUND_HALF_UP))


def gpu_choice(value: object) -> GpuChoice:
    """Check ``all`` or a list of indexes and UUIDs."""
    if value == "all":
        return "all"
    if not isinstance(value, list | tuple):
        raise NotationError(f"must be 'all' or a list such as [0, 1], not {shown_value(value)}")
    if not value:
        raise NotationError("names no GPU; write 'all' or a list such as [0, 1]")
    return _named_gpus(value)


def drained_gpus(value: object) -> tuple[int | str, ...]:
    """Check a list of indexes and UUIDs; an empty one names none."""
    if not isinstance(value, list | tuple):
        raise NotationError(f"must be a list such as [0, 1], not {shown_value(value)}")
    return _named_gpus(value)


def written_gpus(choice: GpuChoice) -> str | list[int | str]:
    """Write a choice of GPUs as it stands in a file."""
    return "all" if choice == "all" else list(choice)


def host(value: object) -> object:
    """Check an address to listen on: a name or an IP address, no port, no scheme."""
    return _matching(value, HOST_PATTERN, "an address such as 127.0.0.1 or 0.0.0.0")


def image(value: object) -> object:
    """Check the name of a container image, as the Docker engine would read it."""
    if not isinstance(value, str) or (
        len(value) <= _LONGEST_IMAGE and re.fullmatch(IMAGE_PATTERN, value)
    ):
        return value
    wanted = "an image's name, such as vllm/vllm-openai:v0.24.0"
    raise NotationError(f"'{shortened(value)}' is not {wanted}{_image_advice(value)}")


def engine_address(value: object) -> object:
    """Check where a Docker engine listens, as in ``DOCKER_HOST``."""
    wanted = "unix:///path/of/docker.sock or tcp://host:port"
    if isinstance(value, str) and value.startswith("ssh://"):
        raise NotationError(f"an engine behind ssh cannot be used; must be {wanted}")
    return _matching(value, ENGINE_ADDRESS_PATTERN, wanted)


def variable_name(value: str) -> str:
    """Check the name of an environment variable; those that bind a server to its slice are ours."""
    if value in _OUR_VARIABLES or value.startswith("GPUSLICE_"):
        raise NotationError("is set by gpuslice, to bind the server to its slice; leave it out")
    if not _VARIABLE.fullmatch(value):
        raise NotationError("is not a variable name (letters, digits and '_')")
    return value


_NUMBER_REFUSED = (
    "'{value}' is a number, and profile ids differ between boards: 2g.20gb is id 14 on an A100, "
    "where id 15 is the double-memory 1g.20gb, and id 14 on an A30 is 1g.6gb; "
    "write the name, such as 2g.20gb ('gpuslice profiles' lists them)"
)


def _image_advice(value: str) -> str:
    """Say what an image's name may not have, in words that follow it, or ""."""
    if value.startswith("-"):
        return "; it starts with '-', which would be taken for an option"
    if "://" in value:
        return "; leave out what stands before and with '://'"
    if re.search(r"\s", value):
        return "; it has a space"
    if "@" in value and not re.search(r"@sha256:[0-9a-f]{64}$", value):
        return "; a digest is sha256: and 64 hexadecimal digits"
    repository = value.partition("@")[0].rpartition("/")[2].partition(":")[0]
    if value.partition("@")[0].removesuffix(repository).lower() + repository.lower() != value:
        return "; only its tag may have capitals"
    return ""


def _profile_advice(value: str) -> str:
    lowered = value.strip().lower().removeprefix("mig ").strip()
    if re.fullmatch(PROFILE_PATTERN, lowered):
        return f"; write {lowered}"
    if re.match(r"[1-9]c\.", lowered):
        return "; it names a compute instance, and gpuslice gives a whole GPU instance: write " + (
            lowered.partition(".")[2] or "3g.40gb"
        )
    return ", which is like 3g.40gb or 1g.10gb+me; 'gpuslice profiles' lists them"


def _measured_mib(text: str) -> int:
    if not re.fullmatch(MEMORY_PATTERN, text) or len(text) > 40:
        raise NotationError(f"must be like 18GiB, 18432MiB or 19GB, not '{shortened(text)}'")
    unit = text.lstrip("0123456789. ")
    amount = Decimal(text.removesuffix(unit).strip())
    return math.ceil(amount * _UNITS[unit] / _MIB)


def _named_gpus(value: Sequence[Any]) -> tuple[int | str, ...]:
    wrong = [f"{shown_value(item)} {said}" for item in value if (said := _gpu_problem(item))]
    doubles = [] if wrong else [item for item, count in Counter(value).items() if count > 1]
    if wrong or doubles:
        wrong += [f"names {item} more than once" for item in doubles]
        raise NotationError("; ".join(dict.fromkeys(wrong)))
    return tuple(value)


def _gpu_problem(value: object) -> str:
    """Say why a value names no GPU, or ""."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_INDEX:
        return ""
    if isinstance(value, str) and _GPU_UUID.fullmatch(value):
        return ""
    if isinstance(value, str) and value.startswith("MIG-"):
        return "is a slice; name the GPU (GPU-…) it lies on"
    if isinstance(value, dict):
        return "describes GPUs on paper; put them into a file for 'gpuslice plan --fleet'"
    return "is neither a GPU's index (0, 1 …) nor its UUID (GPU-…)"


def _matching(value: object, pattern: str, wanted: str) -> object:
    """Check text against a pattern; what is no text is left for pydantic to refuse."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        raise NotationError(f"must be {wanted}, not '{shortened(value)}'")
    return value
