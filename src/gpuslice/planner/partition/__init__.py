"""Slices without models: the least change from the slices there are to those that are wanted."""
