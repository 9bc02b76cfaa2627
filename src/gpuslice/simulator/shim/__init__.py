"""A folder to put first on ``PYTHONPATH``, so that ``import pynvml`` finds the simulated one."""
