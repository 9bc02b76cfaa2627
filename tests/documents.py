"""Reading the project's own documents: tables, code blocks, links and anchors.

Just enough Markdown for tests that hold documents and program together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCUMENTS = tuple(sorted((*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"))))

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of code.

    Attributes:
        info: What stands behind the opening fence, such as ``yaml stack``.
        text: What is in it.
        line: Line of the opening fence.
    """

    info: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    """Every fenced block of a document."""
    text = path.read_text()
    return [
        Block(
            info=found["info"].strip(),
            text=found["text"],
            line=text.count("\n", 0, found.start()) + 1,
        )
        for found in _FENCE.finditer(text)
    ]


def prose(path: Path) -> str:
    """A document without its fenced blocks."""
    return _FENCE.sub("", path.read_text())


def links(path: Path) -> list[str]:
    """Every link target of a document."""
    return [found["target"] for found in _LINK.finditer(prose(path))]


def inline_code(path: Path) -> list[str]:
    """Everything between backticks in the running text and tables."""
    return _CODE.findall(prose(path))


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {_anchor(heading) for heading in headings}


def rows(path: Path, *, heading: str = "") -> Iterator[list[str]]:
    """The body rows of the tables of a document, or of one section of it, cell by cell."""
    text = prose(path)
    if heading:
        _, found, text = text.partition(f"\n## {heading}\n")
        assert found, f"{path.name} has no section {heading!r}"
        text = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    header = True
    for line in text.splitlines():
        if not line.startswith("|"):
            header = True
        elif set(line) <= set("|-: "):
            header = False
        elif not header:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def _anchor(heading: str) -> str:
    plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return plain.replace(" ", "-")
