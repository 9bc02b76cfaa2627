"""The parts of the independent check of a plan; `gpuslice.planner.check` is its door."""
