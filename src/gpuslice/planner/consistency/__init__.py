"""Rules that exclude each other, and the smallest set of them; begin with `contradiction`."""
