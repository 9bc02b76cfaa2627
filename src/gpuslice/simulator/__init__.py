"""A simulated NVIDIA driver behind pynvml, shared between processes."""
