"""What a model needs on a slice: weights, KV cache and overhead, from the files that hold it."""

from gpuslice.sizing.estimate import Part, Sized
from gpuslice.sizing.size import size_model

__all__ = ["Part", "Sized", "size_model"]
