"""Where the hub's library keeps models on this machine, and its token.

Separate from that library, which need not be installed here: containers bring their own.

Source: huggingface_hub, "Environment variables" (``HF_TOKEN``, ``HF_TOKEN_PATH``, ``HF_HOME``,
``HF_HUB_CACHE``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def hub_token(environ: Mapping[str, str] = os.environ) -> str:
    """Find this machine's token for the hub: where its library looks, in its order.

    Returns:
        The token, or "" where there is none.
    """
    if token := environ.get("HF_TOKEN", "").strip():
        return token
    try:
        return token_file(environ).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def token_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Say in which file the hub's library keeps its token, whether it is there or not."""
    if path := environ.get("HF_TOKEN_PATH"):
        return Path(path)
    return hub_cache(environ) / "token"


def hub_cache(environ: Mapping[str, str] = os.environ) -> Path:
    """Say which folder is the hub library's on this machine (``HF_HOME``)."""
    if path := environ.get("HF_HOME"):
        return Path(path).expanduser().absolute()
    cache = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache).expanduser().absolute() / "huggingface"


def hub_models(environ: Mapping[str, str] = os.environ) -> str:
    """Say in which folder the models themselves are, where it is not the usual one; else ""."""
    named = environ.get("HF_HUB_CACHE", "")
    folder = Path(named).expanduser().absolute()
    return str(folder) if named and folder != hub_cache(environ) / "hub" else ""
