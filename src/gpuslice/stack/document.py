"""YAML text to a tree, bounded and with every problem noted.

Separate from the schema because a stack file is trusted with little: this part bounds what a file
may make us do, and finds what a YAML loader would silently accept.

It reads libyaml's *events* rather than letting PyYAML build objects, for three reasons. Depth and
number of nodes are limited while reading, before anything is built: PyYAML's own builder recurses
without a limit, and an alias can stand for a million nodes. A duplicate key is a problem here,
where a loader keeps the last one. And scalars are resolved as people mean them: ``1_000``, ``010``
and ``12:30:00`` are text here, where YAML 1.1 makes 1000, 8 and 45000 of them; ``yes`` and ``no``
are still truth values, so that they are refused where text is wanted and cannot mean two things.
Keys are always the text that was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from gpuslice.stack.problem import KeyPath, Mark, Problem, shortened
from gpuslice.stack.syntax import syntax_problem
from gpuslice.stack.tree import Document, Entry, Listing, Node, Scalar, Table, Value

MAX_DEPTH = 20
MAX_NODES = 10_000

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOP = Mark(line=1, column=1)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(
    r"(?=.*[.eE])[-+]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][-+]?[0-9]{1,3})?"
)
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
# What no text in a stack file has a use for: NUL could not even be passed to a process, ESC drives
# terminals, and marks that turn the direction of writing show another text than the one that is
# there (CVE-2021-42574).
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f"
    "\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def parse_document(
    text: str, *, empty: str = "the file is empty; 'gpuslice init' writes a starter"
) -> Document:
    """Read YAML text into a tree; problems are values, nothing is raised.

    Args:
        text: The whole file.
        empty: What to say when there is nothing in it.

    Returns:
        The tree and what is wrong with it. Where there is no tree there is at least one problem.
    """
    if control := _control_characters(text):
        return Document(root=None, problems=control)
    builder = _Builder(text, empty)
    try:
        root = builder.document()
    except _Unreadable as unreadable:
        return Document(root=None, problems=(*builder.problems, unreadable.problem))
    return Document(root=root, problems=tuple(builder.problems))


def resolve(text: str) -> Value:
    """Say what an unquoted scalar means: nothing, a truth value, a number or text."""
    if text in _NULL:
        return None
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Unreadable(Exception):  # noqa: N818 - not an error a caller sees, only the way out of a walk
    """The text cannot be read further."""

    def __init__(self, mark: Mark, text: str, path: KeyPath = ()) -> None:
        super().__init__(text)
        self.problem = Problem(mark=mark, path=path, text=text)


class _Builder:
    """Builds one tree from one text; lives only while `parse_document` runs."""

    def __init__(self, text: str, empty: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._empty = empty
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def document(self) -> Node:
        """Read the one document there may be."""
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            raise _Unreadable(_TOP, self._empty)
        root = self._node(self._next(), ())
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            self._report(_mark(event), (), "a second document ('---'); a stack is one document")
        return root

    def _next(self) -> yaml.Event:
        try:
            return next(self._events)
        except yaml.YAMLError as error:
            mark, text = syntax_problem(error, self._text)
            raise _Unreadable(mark, text) from error

    def _report(self, mark: Mark, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(mark=mark, path=path, text=text))

    def _node(self, event: yaml.Event, path: KeyPath) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._checked(self._alias(event, path), event, path)
        if len(path) >= MAX_DEPTH:
            raise _Unreadable(_mark(event), f"nested more than {MAX_DEPTH} deep", path[:2])
        if getattr(event, "tag", None) is not None:
            self._report(_mark(event), path, "has a tag ('!…'); write the plain value without it")
        node = self._checked(self._built(event, path), event, path)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _built(self, event: yaml.Event, path: KeyPath) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self._table(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._listing(event, path)
        assert isinstance(event, yaml.ScalarEvent), "libyaml has no other event that starts a node"
        self._nodes += 1
        return self._scalar(event, path)

    def _alias(self, event: yaml.AliasEvent, path: KeyPath) -> Node:
        anchor = str(event.anchor)
        node = self._anchors.get(anchor)
        if node is None:
            text = f"'*{shortened(anchor)}' stands for nothing that is complete before it"
            raise _Unreadable(_mark(event), text, path)
        self._nodes += node.nodes
        return node

    def _checked(self, node: Node, event: yaml.Event, path: KeyPath) -> Node:
        """Refuse what has grown too large; aliases count as often as they are used."""
        if self._nodes > MAX_NODES:
            raise _Unreadable(_mark(event), f"more than {MAX_NODES:,} values in the file")
        if len(path) + node.height > MAX_DEPTH:
            raise _Unreadable(_mark(event), f"nested more than {MAX_DEPTH} deep", path[:2])
        return node

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Scalar:
        if found := _CONTROL.search(event.value):
            text = f"contains the control character {found.group()!r}; leave it out"
            self._report(_mark(event), path, text)
        value = event.value if event.style else resolve(event.value)
        return Scalar(mark=_mark(event), text=event.value, value=value)

    def _listing(self, start: yaml.Event, path: KeyPath) -> Listing:
        self._nodes += 1
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        nodes, height = _extent(items)
        return Listing(mark=_mark(start), items=tuple(items), nodes=nodes, height=height)

    def _table(self, start: yaml.Event, path: KeyPath) -> Table:
        self._nodes += 1
        entries: dict[str, Entry] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path)
            node = self._node(self._next(), (*path, key.text))
            if first := entries.get(key.text):
                text = f"is given twice (first on line {first.mark.line}); keep one of them"
                self._report(key.mark, (*path, key.text), text)
                continue
            entries[key.text] = Entry(key=key.text, mark=key.mark, node=node)
        nodes, height = _extent([entry.node for entry in entries.values()])
        found = tuple(entries.values())
        return Table(mark=_mark(start), entries=found, nodes=nodes, height=height)

    def _key(self, event: yaml.Event, path: KeyPath) -> Scalar:
        key = self._node(event, (*path, "key"))
        if not isinstance(key, Scalar):
            raise _Unreadable(_mark(event), "a key must be a plain word", path)
        if isinstance(event, yaml.AliasEvent):
            raise _Unreadable(_mark(event), "a key must be written out, not an alias", path)
        return key


def _extent(below: list[Node]) -> tuple[int, int]:
    """Count the nodes and the height of something with these nodes below it."""
    nodes = 1 + sum(node.nodes for node in below)
    return nodes, 1 + max((node.height for node in below), default=0)


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    assert start is not None, "parsers mark every event"
    return Mark(line=start.line + 1, column=start.column + 1)


def _control_characters(text: str) -> tuple[Problem, ...]:
    """Find control characters that stand in the text itself; libyaml would give no line."""
    problems = []
    for found in _CONTROL.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        said = f"contains the control character {found.group()!r}; leave it out"
        problems.append(Problem(mark=Mark(line=line, column=column), path=(), text=said))
        if len(problems) == 10:  # a binary file would give thousands
            break
    return tuple(problems)
