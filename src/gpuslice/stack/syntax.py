"""What a YAML parser says when it gives up, in words that help.

Separate because it is a table of two parsers' habits (libyaml's and PyYAML's own), and nothing else
has to know either.
"""

from __future__ import annotations

import yaml

from gpuslice.stack.problem import Mark

_INDENTATION = "not indented like the lines around it, or a quote or ':' is missing"
_MEANINGS = (
    # What libyaml or PyYAML says, and what it nearly always means in a hand-written file.
    ("cannot start any token", "a value cannot start with this character; put it in quotes"),
    ("mapping values are not allowed", "a ':' too many; check the indentation, or quote the value"),
    ("expected ',' or ']'", "a ']' or a ',' is missing"),
    ("expected ',' or '}'", "a '}' or a ',' is missing"),
    ("unexpected end of stream", "the closing quote is missing"),
    ("could not find expected ':'", "a ':' is missing behind the key"),
    ("expected key", _INDENTATION),
    ("<block end>", _INDENTATION),
    ("expected '-'", "a key where the list goes on; indent it, or start it with '- '"),
    ("node content", "a value is missing, or a bracket is not closed"),
    ("incompatible YAML", "a %YAML line of an unknown version; leave it out"),
)


def syntax_problem(error: yaml.YAMLError, text: str) -> tuple[Mark, str]:
    """Say in plain words what a YAML parser stumbled over, and where.

    Args:
        error: What it raised.
        text: What it was reading.
    """
    said = str(getattr(error, "problem", None) or error).splitlines()[0]
    at = getattr(error, "problem_mark", None)
    mark = Mark(line=at.line + 1, column=at.column + 1) if at else Mark(line=1, column=1)
    if at and _character(text, at.line, at.column) == "\t":
        return mark, "not readable as YAML: a tab; YAML is indented with spaces"
    for needle, meaning in _MEANINGS:
        if needle in said:
            return mark, f"not readable as YAML: {meaning}"
    return mark, f"not readable as YAML: {said}"


def _character(text: str, line: int, column: int) -> str:
    """Return the character at a position counted from 0, or ""."""
    lines = text.split("\n", line + 1)
    return lines[line][column : column + 1] if line < len(lines) else ""
