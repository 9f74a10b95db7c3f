"""Where cases run: what a place must know, and which of its peers are installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from fastconv._cli.bench._cases import Case
from fastconv._cli.bench._references import Array

Call = Callable[[], Any]


class Unavailable(Exception):  # noqa: N818 - it is no mistake
    """What was asked for is not on this machine."""


class Place(Protocol):
    """
    A device, with what runs there beside fastconv.

    Attributes
    ----------
    device : int or None
        The GPU's number, None for the host.
    cases : sequence of Case
        What is timed there.
    peers : dict
        Titles of the libraries beside fastconv, by the names of their calls.
    trusted : frozenset
        Names of those whose values count as right.
    absent : dict
        Why other libraries are not compared with, by their titles.
    bandwidth : float or None
        Bytes a second that copies read and write there, where that was measured.
    """

    device: int | None
    cases: Sequence[Case]
    peers: dict[str, str]
    trusted: frozenset[str]
    absent: dict[str, str]
    bandwidth: float | None

    def title(self) -> str:
        """Tell what fastconv runs on, and beside which versions of its peers."""

    def facts(self) -> dict[str, Any]:
        """Return the device's name and versions, for the report."""

    def put(self, array: Array) -> Any:
        """Return an array of the host's in this place."""

    def get(self, result: Any) -> Array:
        """Return a result of any of the calls in the host's memory."""

    def calls(self, case: Case, arrays: Sequence[Any]) -> Mapping[str, Call]:
        """Return the peers' calls for a case; without those that have no such function."""

    def seconds(self, call: Call, repeats: int) -> float:
        """Return the seconds that a call takes, one after the other."""

    def clear(self) -> None:
        """Give back the memory that is kept from the cases before."""


def optional(name: str, absent: dict[str, str], title: str) -> ModuleType | None:
    """Import a module; where that fails, say why under a title."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name.partition(".")[0]
        absent[title] = "not installed" if missing else str(error).strip().partition("\n")[0]
        return None
