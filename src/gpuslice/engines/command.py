"""Any other server: the user's own argument vector with the slice's facts filled in.

Separate because it is the one engine whose command line is a template. The template language is
Python's ``{name}`` and nothing more: no attributes, no indexing, no formats, so that a stack file
can never reach into our values.
"""

from __future__ import annotations

import string

from gpuslice.engines.api import ServeRequest
from gpuslice.engines.bound import bound_launch
from gpuslice.engines.environment import bind_environment
from gpuslice.errors import StackError
from gpuslice.model.desired import PLACEHOLDERS
from gpuslice.model.server import Launch


class Command:
    """Engine ``command``: a server that listens on ``{port}`` and answers 200 on ``/health``.

    In a container of its own network it has to listen on ``{host}``, not on loopback.
    """

    name = "command"

    def launch(self, request: ServeRequest) -> Launch:
        """Describe the user's own server for one slice.

        Raises:
            StackError: There is no command, or it has a placeholder that does not exist.
        """
        if not request.command:
            raise StackError(
                f"models.{request.replica.model}: engine command needs a command",
                hint='write one, such as command: ["my-server", "--port", "{port}"]',
            )
        parts = (*request.command, *request.args)
        command = tuple(fill(part, request) for part in parts)
        environment = bind_environment(request)
        return bound_launch(self.name, request, command, environment)


def fill(template: str, request: ServeRequest) -> str:
    """Fill one argument; ``{{`` and ``}}`` stand for braces.

    Raises:
        StackError: A placeholder is unknown, or a brace stands alone.
    """
    values = _values(request)
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError as error:
        raise _problem(request, template, str(error).lower()) from error
    filled = []
    for text, field, spec, conversion in fields:
        filled.append(text)
        if field is None:
            continue
        if field not in values or spec or conversion:
            raise _problem(request, template, f"unknown placeholder {{{field}}}")
        filled.append(values[field])
    return "".join(filled)


def _values(request: ServeRequest) -> dict[str, str]:
    values = (
        str(request.port),
        request.source,
        str(request.allowed_mib),
        request.slice_uuid,
        request.replica.model,
        str(request.context_tokens),
        str(request.concurrency),
        request.listens_on,
    )
    return dict(zip(PLACEHOLDERS, values, strict=True))


def _problem(request: ServeRequest, template: str, what: str) -> StackError:
    known = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    return StackError(
        f"models.{request.replica.model}.command: {what} in {template!r}",
        hint=f"use {known}; write {{{{ for a brace",
    )
