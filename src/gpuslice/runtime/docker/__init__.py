"""Servers in containers of a Docker engine: the second runtime behind `gpuslice.runtime.api`."""
