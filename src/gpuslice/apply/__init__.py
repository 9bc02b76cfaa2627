"""Carrying out a change, and the way back."""
