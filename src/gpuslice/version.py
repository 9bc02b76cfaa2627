"""The version of this program: at the bottom of the house, because images and labels carry it."""

__version__ = "0.1.0"
