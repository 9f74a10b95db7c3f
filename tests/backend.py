"""What the backend that runs the tests can do; conftest.py tells which it is before any test."""

from __future__ import annotations

on_gpu = False

# Methods that a GPU has no like of.
HOST_METHODS = {"reference", "channels", "winograd", "tilefft"}
# Layouts and dtypes, too.
_THE_HOSTS = {*HOST_METHODS, "swapped", "g", "G"}


def able(options):
    """Those of the methods, layouts and dtypes that there are: for draws and loops in a test.

    What stands in a test's parameters needs none of this: there it is skipped, with its reason.
    """
    return tuple(o for o in options if not (on_gpu and o in _THE_HOSTS))
