"""A throughput target of a model, and what a usual request is.

Separate from the model's entry, because it is a section of its own in the file.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from gpuslice.stack import notation
from gpuslice.stack.fields import PerSecond
from gpuslice.stack.rules import target_breaches
from gpuslice.stack.section import FileSection, refuse


class TargetEntry(FileSection):
    """A throughput that the slices of one model have to reach together."""

    tokens_per_s: PerSecond | None = Field(
        default=None,
        title="Tokens per second",
        description="Tokens that all replicas together have to answer in a second.",
        examples=[900],
    )
    requests_per_s: PerSecond | None = Field(
        default=None,
        title="Requests per second",
        description="Requests that all replicas together have to answer in a second.",
        examples=[12.5],
    )

    prompt_tokens: int | None = Field(
        default=None,
        ge=1,
        le=16_777_216,
        title="Prompt",
        description=(
            "Tokens of a usual prompt, for an estimate where no `throughput` is given; what "
            "`answer_tokens` leaves of the context unless it is said."
        ),
        examples=[1500],
    )
    answer_tokens: int | None = Field(
        default=None,
        ge=1,
        le=16_777_216,
        title="Answer",
        description=(
            "Tokens of a usual answer, for an estimate where no `throughput` is given; half the "
            "context unless it is said. A target in requests cannot do without."
        ),
        examples=[300],
    )

    @property
    def unit(self) -> str:
        """What is counted: ``tokens`` or ``requests``."""
        return "tokens" if self.tokens_per_s is not None else "requests"

    @property
    def milli_per_s(self) -> int:
        """Thousandths of the unit per second that are wanted."""
        return notation.milli(self.tokens_per_s or self.requests_per_s or 0)

    @model_validator(mode="after")
    def _keep_rules(self) -> TargetEntry:
        refuse(target_breaches(self.model_dump(exclude_none=True)))
        return self
