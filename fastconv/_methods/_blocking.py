"""
How a convolution is cut into transforms: lengths, blocks that overlap, parts of the kernel.

A block of the extended input gives the outputs that no wrapped sum touches: of its N those past the
first taps - 1 (overlap-save). One block as large as the problem is the textbook's full-size
transform; beyond zeros it may be shorter, as what wraps around is zero, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fastconv._methods import _rounding
from fastconv._methods._transforms import fast_length
from fastconv._problem import Boundary, Problem, Reason, Shape

# Parts that a kernel may be cut into along one axis.
_MOST_PARTS = 64

Layout = TypeVar("Layout")
# A length of transforms along one axis, and the blocks of that length that the axis takes.
Cut = tuple[int, int]
# The least length from a number on that transforms are fast for.
Fit = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class AxisBlocks:
    """How one transformed axis is cut."""

    length: int  # of the transforms
    count: int  # of blocks
    valid: int  # outputs that a block gives
    skip: int  # where in a block its first output stands
    shift: int  # from the first output of a block to the data that its first element reads
    step: int  # outputs from a block to the next; 0 where the one block reads from the origin


def reject(problem: Problem) -> Reason | None:
    """Say why transforms do not take a problem, whoever makes them."""
    if problem.empty:
        return Reason.EMPTY
    if problem.layer:
        return Reason.LAYER
    if problem.cut is not None:
        return Reason.CUT
    if problem.by_passes:
        return Reason.PASSES
    return None


def transformed_axes(problem: Problem) -> Shape:
    """Return the axes along which the kernel has more than one tap; one of them at the least."""
    axes = tuple(a for a in problem.axes if problem.w[a] > 1)
    return axes or problem.axes[-1:]


def taps_of_parts(problem: Problem, axes: Shape, parts: Shape) -> list[int]:
    """Return the taps of one part of the kernel along each transformed axis."""
    return [-(-problem.w[a] // p) for a, p in zip(axes, parts, strict=True)]


def in_parts(problem: Problem, lay_out: Callable[[Shape, Shape], Layout | None]) -> Layout | None:
    """
    Return the layout for the fewest parts of the kernel that there is one for, or None.

    Parameters
    ----------
    problem : Problem
        The problem.
    lay_out : callable
        Returns a layout within the bound on workspace, or None, from the transformed axes and the
        number of parts along each.
    """
    axes = transformed_axes(problem)
    parts = [1] * len(axes)
    while True:
        layout = lay_out(axes, tuple(parts))
        if layout is not None:
            return layout
        longest = max(range(len(axes)), key=lambda i: problem.w[axes[i]] / parts[i])
        parts[longest] *= 2
        if parts[longest] > min(_MOST_PARTS, problem.w[axes[longest]]):
            return None


def cuts_of(problem: Problem, axis: int, taps: int, fit: Fit = fast_length) -> list[Cut]:
    """Return the lengths of transforms to choose from, for so many taps of a kernel or its part."""
    out = problem.out[axis]
    choices = [(_whole_length(problem, axis, taps, fit), 1)]
    length = 1 << max(taps.bit_length(), 5)
    while length < choices[0][0]:
        choices.append((length, -(-out // (length - taps + 1))))
        length *= 2
    return choices


def blocks_of(
    problem: Problem, axis: int, taps: int, length: int, fit: Fit = fast_length
) -> AxisBlocks:
    """Return the blocks of an axis, from one of the lengths that there were to choose from."""
    out, offset = problem.out[axis], problem.offset[axis]
    if length == _whole_length(problem, axis, taps, fit) and _wraps(problem, axis, taps):
        return AxisBlocks(length, 1, out, offset + taps - 1, 0, 0)
    valid = min(length - taps + 1, out)
    return AxisBlocks(length, -(-out // valid), valid, taps - 1, offset, valid)


def _wraps(problem: Problem, axis: int, taps: int) -> bool:
    """Whether the zeros beyond one edge serve the other, too: what wraps around is zero."""
    return (
        problem.boundary is Boundary.ZERO
        and taps == problem.w[axis]
        and problem.offset[axis] + taps - 1 >= 0
    )


def _whole_length(problem: Problem, axis: int, taps: int, fit: Fit) -> int:
    """Return the length of the one transform that gives all outputs."""
    out, offset, n = problem.out[axis], problem.offset[axis], problem.x[axis]
    if not _wraps(problem, axis, taps):
        return fit(out + taps - 1)
    return fit(max(n, taps, out + offset + taps - 1, n - min(offset, 0)))


def integer_error(problem: Problem, points: int) -> float:
    """
    Bound the rounding error of an integer result that went through float64 transforms.

    Every value must stay below 2^53. The bound holds for transforms of any radix: they have no more
    levels than those of radix 2, for which it is proven (see `_rounding.proven_bound`).
    """
    assert problem.magnitude is not None
    most_x, most_w = problem.magnitude
    if most_x * most_w * problem.taps >= 2.0**53:
        return math.inf
    norms = most_x * math.sqrt(points) * most_w * math.sqrt(problem.taps)
    return _rounding.proven_bound(points) * norms
