"""How model servers are launched on a slice; pure descriptions."""
