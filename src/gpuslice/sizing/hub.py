"""A model of the Hugging Face hub: its configuration and the headers of its weights.

Separate, because it is the only part of sizing that talks to a network, and does so through the
hub's own library: that knows the cache, where the token is and who may see it, mirrors
(``HF_ENDPOINT``) and working without a network (``HF_HUB_OFFLINE``); a second set of such rules
would be wrong in one of them. The library is optional (``pip install 'gpuslice[hub]'``): models on
this machine are sized without it.

Nothing is downloaded in full. config.json and the index are small and go through the hub's cache;
of each shard only the header is asked for, by an HTTP range request, or read from the cache where
the shard is there already. No code of a repository is run.

Source: huggingface/huggingface_hub, "Environment variables" and "Safetensors metadata".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpuslice.errors import SizingError
from gpuslice.sizing.safetensors import CONFIG, INDEX, read_json, read_shard, tensors_of
from gpuslice.sizing.tensors import Tensor

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_SINGLE = "model.safetensors"
_WHAT_TO_GIVE = "give a folder, a .gguf file, or owner/name"
_MOST_SHARDS = 1000
_AT_ONCE = 8  # as many headers as the library itself asks for together
_FOR_NOW = "say `slice:` or `memory:` for this model"


def read_hub_model(name: str) -> tuple[Mapping[str, object], tuple[Tensor, ...]]:
    """Read a model's config.json and the headers of its weights.

    Args:
        name: Such as ``Qwen/Qwen3-4B``.

    Returns:
        The parsed configuration, and every tensor.

    Raises:
        SizingError: The library is not installed; there is no such model; it is gated; the hub
            cannot be reached; or it holds no safetensors.
    """
    if not _NAME.fullmatch(name):
        raise SizingError(f"'{name}' is no name of a model on the hub", hint=_WHAT_TO_GIVE)
    repository = _Repository(name)
    config = repository.read_json(CONFIG)
    if config is None:
        raise SizingError(f"{name} has no {CONFIG}, so what it needs is unknown", hint=_FOR_NOW)
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        parts = tuple(pool.map(repository.tensors, repository.shards()))
    return config, tuple(tensor for part in parts for tensor in part)


class _Repository:
    """One model of the hub; owned by `read_hub_model` and gone with it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._hub = _library(name)
        self._errors = self._hub.errors
        self._reachable = self._is_reachable()

    def read_json(self, file: str) -> Mapping[str, object] | None:
        """Fetch a small file, or take it from the cache; None where the model has none."""
        with self._translated(file):
            try:
                path = self._hub.hf_hub_download(
                    self._name, file, local_files_only=not self._reachable
                )
            except self._errors.LocalEntryNotFoundError:
                raise  # not "there is none", but "nobody could be asked"
            except self._errors.EntryNotFoundError:
                return None
        return read_json(Path(path))

    def shards(self) -> tuple[str, ...]:
        """List the files that hold the weights."""
        cached = self._hub.try_to_load_from_cache(self._name, _SINGLE)
        index = None if isinstance(cached, str) else self.read_json(INDEX)
        if index is None:
            return (_SINGLE,)
        weight_map = index.get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            text = f"{INDEX} of {self._name} has no weight_map"
            raise SizingError(text, hint="tell the model's owner; until then, " + _FOR_NOW)
        shards = tuple(sorted({str(shard) for shard in weight_map.values()}))
        if len(shards) > _MOST_SHARDS or any(Path(shard).name != shard for shard in shards):
            text = f"{INDEX} of {self._name} names files that no model has"
            raise SizingError(text, hint=_FOR_NOW)
        return shards

    def tensors(self, shard: str) -> tuple[Tensor, ...]:
        """List the tensors of a shard: from the cache where it is there, or by its header alone."""
        with self._translated(shard):
            cached = self._hub.try_to_load_from_cache(self._name, shard)
            if isinstance(cached, str):
                return read_shard(Path(cached))
            found = self._header(shard)
        header = {
            name: {"dtype": t.dtype, "shape": t.shape, "data_offsets": list(t.data_offsets)}
            for name, t in found.tensors.items()
        }
        return tensors_of(header, f"{self._name}/{shard}")[0]

    def _header(self, shard: str) -> Any:
        """Ask for the header of a shard; the library subscripts what it parsed, whatever it is."""
        broken = (self._errors.SafetensorsParsingError, LookupError, TypeError, AttributeError)
        try:
            return self._hub.HfApi().parse_safetensors_file_metadata(self._name, shard)
        except broken as error:
            text = f"{self._name}/{shard} is no sound safetensors file"
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
        nobody: tuple[type[Exception], ...] = (*self._network_errors(), json.JSONDecodeError)
        try:
            yield
        except errors.GatedRepoError as error:
            text = f"{self._name} is gated: its owner decides who may read it"
            hint = f"ask for access at {self._page()}, then run: hf auth login"
            raise SizingError(text, hint=hint) from error
        except errors.RepositoryNotFoundError as error:
            text = f"there is no model {self._name} on the hub, or it is private"
            hint = "check the name; for a private model run: hf auth login"
            raise SizingError(text, hint=hint) from error
        except errors.LocalEntryNotFoundError as error:
            raise self._unanswered(file, error.__cause__) from error
        except errors.EntryNotFoundError as error:
            text = f"{self._name} has no {file}: only safetensors can be sized"
            raise SizingError(text, hint=_FOR_NOW) from error
        except errors.HFValidationError as error:
            text = f"'{self._name}' is no name of a model on the hub"
            raise SizingError(text, hint=_WHAT_TO_GIVE) from error
        except errors.HfHubHTTPError as error:
            raise self._unanswered(file, error) from error
        except nobody as error:
            raise self._unanswered(file, None) from error

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
        hint = f"check the network (and HF_ENDPOINT, HF_HUB_OFFLINE), or {_FOR_NOW}"
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
