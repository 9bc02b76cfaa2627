"""Which slices meet a throughput target, chosen for all targets together; begin with `choose`."""
