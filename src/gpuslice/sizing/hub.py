"""A repository of the Hugging Face hub: its small files, and the beginnings of its large ones.

Separate, because it is the only part of sizing that talks to a network, and does so through the
hub's own library: that knows the cache, where the token is and who may see it, mirrors
(``HF_ENDPOINT``) and working without a network (``HF_HUB_OFFLINE``); a second set of such rules
would be wrong in one of them. The library is optional (``pip install 'gpuslice[hub]'``): models on
this machine are sized without it. What the files mean is known to `hub_model`.

Nothing is downloaded in full. Small files go through the hub's cache; of large ones only the header
is asked for, by HTTP range requests, or read from the cache where the file is there already. No
code of a repository is run.

Source: huggingface/huggingface_hub, "Environment variables" and "Safetensors metadata".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpuslice.errors import SizingError
from gpuslice.sizing.gguf import GgufHeader, HeaderGoesOn, gguf_header, read_gguf
from gpuslice.sizing.safetensors import read_json, read_shard, tensors_of
from gpuslice.sizing.tensors import Tensor

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_WHAT_TO_GIVE = "give a folder, a .gguf file, owner/name, or owner/name:Q4_K_M for a .gguf"
_FOR_NOW = "in a stack file say `slice:` or `memory:` for this model"
_PARTIAL = 206
_FIRST_BYTES = 2 * 1024**2
_LARGEST_HEADER = 512 * 1024**2


class Repository:
    """One repository; owned by whoever reads a model of it, and gone with it.

    Args:
        name: Such as ``Qwen/Qwen3-4B``.
        revision: Branch, tag or commit; "" for the main branch.

    Raises:
        SizingError: The name is none, or the hub's library is not installed. Every method raises it
            where the hub cannot be reached, or refuses.
    """

    def __init__(self, name: str, revision: str = "") -> None:
        if not _NAME.fullmatch(name):
            raise SizingError(f"'{name}' is no name of a model on the hub", hint=_WHAT_TO_GIVE)
        self._name = name
        self._revision = revision or None
        self._hub = _library(name)
        self._errors = self._hub.errors
        self._reachable = self._is_reachable()

    def files(self) -> Mapping[str, int]:
        """List all files, and what each takes, bytes; of those in the cache where nobody answers.

        Raises:
            SizingError: The hub refuses, or cannot be reached and nothing is in the cache.
        """
        if not self._reachable:
            return self._cached_files()
        with self._translated("the list of files"):
            found = self._hub.HfApi().model_info(
                self._name, revision=self._revision, files_metadata=True
            )
            return {file.rfilename: file.size or 0 for file in found.siblings or ()}

    def _cached_files(self) -> Mapping[str, int]:
        with self._translated("the list of files"):
            try:
                cache = self._hub.scan_cache_dir()
            except self._errors.CacheNotFound as error:
                raise self._unanswered("the list of files", None) from error
        wanted = self._revision or "main"
        files = {
            str(file.file_path.relative_to(revision.snapshot_path)): file.size_on_disk
            for repository in cache.repos
            if repository.repo_id == self._name and repository.repo_type == "model"
            for revision in repository.revisions
            if wanted in {revision.commit_hash, *revision.refs}
            for file in revision.files
        }
        if not files:
            raise self._unanswered("the list of files", None)
        return files

    def read_json(self, file: str) -> Mapping[str, object] | None:
        """Fetch a small file, or take it from the cache; None where the model has none."""
        with self._translated(file):
            try:
                path = self._hub.hf_hub_download(
                    self._name,
                    file,
                    revision=self._revision,
                    local_files_only=not self._reachable,
                )
            except self._errors.LocalEntryNotFoundError:
                raise  # not "there is none", but "nobody could be asked"
            except self._errors.EntryNotFoundError:
                return None
        return read_json(Path(path))

    def is_cached(self, file: str) -> bool:
        """Tell whether a file is in the hub's cache on this machine."""
        return self._cached(file) is not None

    def tensors(self, file: str) -> tuple[Tensor, ...] | None:
        """List the tensors of a safetensors file by its header alone; None where there is none.

        Raises:
            SizingError: It is broken.
        """
        with self._translated(file):
            if cached := self._cached(file):
                return read_shard(cached)
            try:
                found = self._safetensors_header(file)
            except self._errors.LocalEntryNotFoundError:
                raise  # not "there is none", but "nobody could be asked"
            except self._errors.EntryNotFoundError:
                return None
        header = {
            name: {"dtype": t.dtype, "shape": t.shape, "data_offsets": list(t.data_offsets)}
            for name, t in found.tensors.items()
        }
        return tensors_of(header, f"{self._name}/{file}")[0]

    def gguf(self, file: str) -> GgufHeader:
        """Read the header of a ``.gguf`` file, twice as much of it each time until it is whole.

        Raises:
            SizingError: It is broken.
        """
        if cached := self._cached(file):
            return read_gguf(cached)
        beginning, size, wanted = b"", _LARGEST_HEADER, _FIRST_BYTES
        while wanted <= _LARGEST_HEADER and len(beginning) < size:
            more, size = self._range(file, len(beginning), wanted)
            beginning += more
            try:
                return gguf_header(beginning, size, f"{self._name}/{file}")
            except HeaderGoesOn:
                wanted *= 2
        text = f"{self._name}/{file} has a header of more than {len(beginning):,} bytes"
        raise SizingError(text, hint=_FOR_NOW)

    def _range(self, file: str, first: int, end: int) -> tuple[bytes, int]:
        """Fetch the bytes [first, end) of a file, and say how many the whole file has."""
        url = self._hub.hf_hub_url(self._name, file, revision=self._revision)
        span = {"Range": f"bytes={first}-{end - 1}"}
        headers = {**self._hub.utils.build_hf_headers(), **span}
        session = self._hub.get_session()
        with self._translated(file), session.stream("GET", url, headers=headers, timeout=30) as got:
            if got.status_code != _PARTIAL:  # what is not a part is not read, for it may be large
                self._hub.utils.hf_raise_for_status(got)
                text = f"the hub gives no part of {self._name}/{file} alone"
                raise SizingError(text, hint="fetch the file, and give its path")
            content = got.read()
        whole = got.headers.get("Content-Range", "").partition("/")[2]
        if not whole.isdigit() or not content:
            text = f"the hub does not say how long {self._name}/{file} is"
            raise SizingError(text, hint="fetch the file, and give its path")
        return content, int(whole)

    def _cached(self, file: str) -> Path | None:
        found = self._hub.try_to_load_from_cache(self._name, file, revision=self._revision)
        return Path(found) if isinstance(found, str) else None

    def _safetensors_header(self, file: str) -> Any:
        """Ask for the header of a shard; the library subscripts what it parsed, whatever it is."""
        broken = (self._errors.SafetensorsParsingError, LookupError, TypeError, AttributeError)
        try:
            return self._hub.HfApi().parse_safetensors_file_metadata(
                self._name, file, revision=self._revision
            )
        except self._errors.EntryNotFoundError:
            raise
        except broken as error:
            text = f"{self._name}/{file} is no sound safetensors file"
            raise SizingError(text, hint=_FOR_NOW) from error

    def _is_reachable(self) -> bool:
        """Ask once; the library asks for half a minute before it believes that nobody is there."""
        try:
            self._hub.get_session().head(self._hub.constants.ENDPOINT, timeout=10)
        except self._network_errors():
            return False
        return True

    @contextmanager
    def _translated(self, file: str) -> Iterator[None]:
        """Turn what the library raises into what happened and what to do."""
        errors = self._errors
        kinds = (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.HFValidationError)
        try:
            yield
        except (*kinds, *self._network_errors(), json.JSONDecodeError) as error:
            raise self._told(file, error) from error

    def _told(self, file: str, error: Exception) -> SizingError:
        errors, name = self._errors, self._name
        known = (  # the narrower kind before the wider
            (
                errors.GatedRepoError,
                f"{name} is gated: its owner decides who may read it",
                f"ask for access at {self._page()}, then run: hf auth login",
            ),
            (
                errors.RepositoryNotFoundError,
                f"there is no model {name} on the hub, or it is private",
                "check the name; for a private model run: hf auth login",
            ),
            (
                errors.RevisionNotFoundError,
                f"{name} has no revision {self._revision}",
                "give a branch, a tag or a commit of it",
            ),
            (errors.HFValidationError, f"'{name}' is no name of a model on the hub", _WHAT_TO_GIVE),
        )
        for kind, text, hint in known:
            if isinstance(error, kind):
                return SizingError(text, hint=hint)
        if isinstance(error, errors.LocalEntryNotFoundError):
            return self._unanswered(file, error.__cause__)
        if isinstance(error, errors.EntryNotFoundError):
            return SizingError(f"{name} has no {file}", hint=_FOR_NOW)
        return self._unanswered(file, error)

    def _network_errors(self) -> tuple[type[Exception], ...]:
        """What means that nobody answered: the system's errors, and those of the HTTP client."""
        session = type(self._hub.get_session()).__module__.partition(".")[0]
        from importlib import import_module  # noqa: PLC0415 - the client is the library's choice

        client = import_module(session)
        names = ("HTTPError", "RequestException", "TransportError")
        return (OSError, *(getattr(client, name) for name in names if hasattr(client, name)))

    def _unanswered(self, file: str, cause: BaseException | None) -> SizingError:
        """Tell a hub that refuses, or is in trouble, from one that cannot be reached."""
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if status in {401, 403}:
            text = f"the hub refused the token for {self._name}/{file}"
            return SizingError(text, hint="run: hf auth login, with a token that may read")
        if status is not None:
            text = f"the hub did not answer for {self._name}/{file}: HTTP status {status}"
            return SizingError(text, hint="try again later, or fetch the model")
        text = f"{file} of {self._name} is not on this machine, and the hub cannot be reached"
        hint = f"check the network (and HF_ENDPOINT, HF_HUB_OFFLINE); {_FOR_NOW}"
        return SizingError(text, hint=hint)

    def _page(self) -> str:
        return f"{self._hub.constants.ENDPOINT}/{self._name}"


def _library(name: str) -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415 - optional, and slow to import
        import huggingface_hub.errors  # noqa: PLC0415 - likewise
    except ImportError as error:
        text = f"{name} is not on this machine, and asking the hub needs huggingface_hub"
        hint = f"run: pip install 'gpuslice[hub]'; or {_FOR_NOW}"
        raise SizingError(text, hint=hint) from error
    library: Any = huggingface_hub
    return library
