"""
A spread layer as ordinary ones.

Along an axis that is spread u times, output p reads data where p + offset + dilation·k is a
multiple of u. Outputs of one remainder modulo u share their taps, every u/gcd(dilation, u)-th one:
they are an ordinary layer of stride 1 over the data as it is, so that no zero is ever multiplied.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fastconv._problem import Problem

_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Phase:
    """
    Outputs of a spread layer that read the data through the same taps.

    Attributes
    ----------
    out : tuple of slice
        Into the layer's out, along all six axes.
    taps : tuple of slice
        Into its w, along all six axes.
    problem : Problem, optional
        The layer between those, without spread; None where no tap reaches these outputs.
    """

    out: tuple[slice, ...]
    taps: tuple[slice, ...]
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class _Line:
    """What outputs of one remainder are along one axis; without taps where nothing is reached."""

    out: slice
    outputs: int
    taps: slice
    count: int
    offset: int = 0
    dilation: int = 1


@functools.lru_cache(maxsize=256)
def phases(problem: Problem) -> tuple[Phase, ...]:
    """
    Split a layer into ordinary ones whose outputs are all of its outputs, each once.

    A layer that is not spread is its own only phase.
    """
    if all(u == 1 for u in problem.spread):
        return (Phase((_ALL,) * 6, (_ALL,) * 6, problem),)
    return tuple(_phase(problem, lines) for lines in _combine(problem, ()))


def meets_zeros(problem: Problem) -> bool:
    """Whether some tap of a layer falls beyond its data's edges."""
    for phase in phases(problem):
        part = phase.problem
        if part is None:
            continue
        for a in range(3):
            first, outputs, taps = part.offset[3 + a], part.out[3 + a], part.w[3 + a]
            last = first + (outputs - 1) * part.stride[a] + (taps - 1) * part.dilation[a]
            if first < 0 or last >= part.x[3 + a]:
                return True
    return False


def _combine(problem: Problem, lines: tuple[_Line, ...]) -> Iterator[tuple[_Line, ...]]:
    """Combine the lines of all axes; where one has no taps, the axes after it stay whole."""
    done = len(lines)
    if done == len(problem.axes) or (lines and not lines[-1].count):
        yield lines
        return
    a = problem.axes[done]
    for line in _lines(
        problem.out[a],
        problem.w[a],
        problem.offset[a],
        problem.dilation[done],
        problem.spread[done],
    ):
        yield from _combine(problem, (*lines, line))


def _lines(out: int, taps: int, offset: int, dilation: int, spread: int) -> Iterator[_Line]:
    shared = math.gcd(dilation, spread)
    step = spread // shared
    for first in range(min(spread, out)):
        outputs = slice(first, out, spread)
        count = len(range(first, out, spread))
        position = first + offset
        tap = taps
        if position % shared == 0:
            # The least k at which position + dilation·k is a multiple of the spread.
            tap = -(position // shared) * pow(dilation // shared, -1, step) % step
        if tap >= taps:
            yield _Line(outputs, count, slice(0, 0), 0)
            continue
        yield _Line(
            outputs,
            count,
            slice(tap, taps, step),
            len(range(tap, taps, step)),
            (position + dilation * tap) // spread,
            dilation // shared,
        )


def _phase(problem: Problem, lines: tuple[_Line, ...]) -> Phase:
    whole = (_ALL,) * (3 - len(lines))
    out = (_ALL, _ALL, _ALL, *(line.out for line in lines), *whole)
    taps = (_ALL, _ALL, _ALL, *(line.taps for line in lines), *whole)
    if not lines[-1].count:
        return Phase(out, taps, None)
    ordinary = replace(
        problem,
        out=(*problem.out[:3], *(line.outputs for line in lines)),
        w=(*problem.w[:3], *(line.count for line in lines)),
        offset=(0, 0, 0, *(line.offset for line in lines)),
        dilation=tuple(line.dilation for line in lines),
        spread=(1, 1, 1),
    )
    return Phase(out, taps, ordinary)
