"""What ``doctor`` finds: one thing that was looked at, and how it is meant.

Separate from the doctor, because those who look at one thing in depth make findings as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is about.
        verdict: Good, worth knowing, or to be mended first.
        text: What was found.
        remedy: What to do about it, or "".
    """

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


def good(subject: str, text: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(subject=subject, verdict=Verdict.GOOD, text=text)


def note(subject: str, text: str, remedy: str = "") -> Finding:
    """Say that something is worth knowing."""
    return Finding(subject=subject, verdict=Verdict.NOTE, text=text, remedy=remedy)


def bad(subject: str, text: str, remedy: str = "") -> Finding:
    """Say that something has to be mended first."""
    return Finding(subject=subject, verdict=Verdict.BAD, text=text, remedy=remedy)
