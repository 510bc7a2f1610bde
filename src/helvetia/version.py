"""The version of the package and of the plugin API."""

__version__ = "0.1.0"

API_VERSION = 1
"""Grows only when a plugin written for the old one would break."""
