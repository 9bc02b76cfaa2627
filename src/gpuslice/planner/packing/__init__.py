"""The layout of every GPU that serves most, costs least, disturbs least; begin with `pack`."""
