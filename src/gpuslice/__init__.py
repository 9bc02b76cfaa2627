"""gpuslice: turn data-centre GPUs into isolated slices and serve a model on each."""

__version__ = "0.1.0"
