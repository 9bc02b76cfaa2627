"""``python -m gpuslice``: the same as the command ``gpuslice``."""

from gpuslice.cli.main import main

main()
