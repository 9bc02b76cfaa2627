"""Samples of slices and servers."""
