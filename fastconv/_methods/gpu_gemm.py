"""
Layers on a GPU as matrix products of cuBLAS: taps times panels of patches.

A panel holds what some of the depth (channels and taps) reads for some points (batch and space), of
every group; it is built by one kernel, small enough to stay in the cache until it is multiplied.
Where a layer has one tap and its data lie in matrices already, they are multiplied where they are.
Products go where results belong, if that is a matrix, and bias and activation are done there;
otherwise to a buffer from which they are finished. Long sums are added panel by panel.

cuBLAS is told its strides, so that nothing is copied that it can read, and the type that it is to
compute in, whatever others have made CuPy's default. A NaN or Inf among the taps would meet the
zeros of panels: where there is one, which the GPU finds out by itself, the sums are formed directly
afterwards.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastconv import _gpu_rates
from fastconv._cost import Estimate
from fastconv._cuda import address, element_strides
from fastconv._methods import _gpu_layers, _rounding
from fastconv._methods._gpu_layers import Digit, Layout
from fastconv._methods._phases import Phase, meets_zeros, phases
from fastconv._problem import Problem, Reason, Weights

NAME = "gpu_gemm"
PLAIN = True

_DTYPES = (np.float32, np.float64, np.complex64, np.complex128)
# Share of the L2 cache that a panel may take, and of the workspace that panel, buffer and taps may.
_CACHE_SHARE = 0.5
_WORKSPACE_SHARE = 0.3
# Points from which panels are cut along the depth rather than into fewer.
_LEAST_POINTS = 512
# Points of an image from which products of single images are worth their call.
_LEAST_IMAGE = 256
# Groups for which single products are started one after the other.
_MOST_CALLS = 4
# Outputs and points that cuBLAS's tiles are multiples of.
_TILE = 32, 64
# Share of the workspace up to which taps become matrices once, before any is multiplied.
_TAPS_SHARE = 0.1
# CUDA's address for the default stream of whichever thread asks: as many streams as threads.
_STREAM_OF_EACH_THREAD = 2
# TF32 keeps 11 digits of each factor, and need not round: what is lost of it.
_TF32_LOSS = 2.0**-10


def reject(problem: Problem) -> Reason | None:
    """Take layers of floats and complex numbers."""
    if not problem.layer:
        return Reason.NOT_A_LAYER
    if problem.empty:
        return Reason.EMPTY
    if problem.dtype not in _DTYPES:
        return Reason.DTYPE
    if not _gpu_layers.is_narrow(problem, _gpu_layers.dense(problem)):
        return Reason.TOO_LARGE
    return Reason.WORKSPACE if _workspace(problem) > problem.workspace_limit else None


def least(problem: Problem) -> float:
    """Return the seconds of a call."""
    return _gpu_rates.gpu_rates(problem.device or 0)["call.library"]


def estimate(problem: Problem) -> Estimate:
    """Products at cuBLAS's rate, panels at that of the cache, and calls."""
    products = cached = calls = launches = 0.0
    device = problem.device or 0
    rates = _gpu_rates.gpu_rates(device)
    unit = (
        f"arithmetic.gpu_gemm.{problem.dtype.itemsize // (2 if problem.dtype.kind == 'c' else 1)}"
    )
    for phase in phases(problem):
        part = phase.problem
        if part is None:
            launches += 1
            continue
        plan = _plan(part, _gpu_layers.dense(part))
        size = part.dtype.itemsize
        rows, columns = (-(-n // tile) * tile for n, tile in zip(_sides(part), _TILE, strict=True))
        done = part.x[1] * rows * columns * part.taps * (4 if part.dtype.kind == "c" else 1)
        each = plan.calls(part.x[1])
        # Calls are made while the one before is worked on, if that takes long enough.
        hidden = done * rates[unit] / each > rates["call.library"]
        products += done
        calls += 1 if hidden else each
        if plan.data is None:
            launches += 1 if hidden else plan.calls(1)
            cached += 2 * part.x[1] * part.taps * _gpu_layers.point_count(part) * size
        if plan.out is None:
            launches += 1 if hidden else len(list(plan.pieces()))
            cached += 2 * math.prod(part.out) * size
    if meets_zeros(problem):
        launches += 1 + len(phases(problem))
    work = (
        ("call.library", calls),
        ("call.launch", launches),
        (unit, products),
        ("cache.l2", cached),
        ("memory.ram", problem.traffic),
    )
    return Estimate(work, _workspace(problem))


def _workspace(problem: Problem) -> int:
    """Return the bytes of the panels of a phase, or of what forms sums directly after them."""
    parts = [phase.problem for phase in phases(problem) if phase.problem is not None]
    bytes_of_phases = [_plan(p, _gpu_layers.dense(p)).workspace(p) for p in parts]
    direct = _gpu_layers.estimate(problem).workspace if meets_zeros(problem) else 0
    return max(*bytes_of_phases, direct, 0)


def error(problem: Problem) -> float:
    """Return what a sum may err by, beside its products: by TF32, where that is little enough."""
    return _tf32_bound(problem) if _takes_tf32(problem) else _direct_bound(problem)


def build(problem: Problem, shared: float | None = None) -> Runner:
    """Return the callable that solves problems of this shape; a GPU shares its work by itself."""
    return Runner(problem, phases(problem), meets_zeros(problem), _takes_tf32(problem))


def _direct_bound(problem: Problem) -> float:
    return _rounding.direct_bound(problem.taps, problem.dtype)


def _tf32_bound(problem: Problem) -> float:
    """
    Return b such that sums of products of TF32 err by less than b·Σ|w·x|.

    Both factors lose less than 2^-10 of themselves, what is left is multiplied exactly, and sums
    are those of float32.
    """
    return (1 + _TF32_LOSS) ** 2 - 1 + _direct_bound(problem)


def _takes_tf32(problem: Problem) -> bool:
    """Whether results may err by as much as TF32 does: never unless that was said."""
    if not problem.accuracy or problem.dtype != np.float32:
        return False
    return _tf32_bound(problem) <= problem.accuracy


def _sides(problem: Problem) -> tuple[int, int]:
    return problem.w[1], _gpu_layers.point_count(problem)


# --- plans ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    """
    How points follow one another in an array.

    Attributes
    ----------
    image : int
        Elements from one image to the next; 0 where all points are one line.
    step : int
        Elements from one point of a line to the next.
    """

    image: int
    step: int

    def element(self, point: int, of_image: int) -> int:
        """Return the element of a point, from that of the first one."""
        if not self.image:
            return point * self.step
        image, rest = divmod(point, of_image)
        return image * self.image + rest * self.step


def _line(digits: Sequence[Digit], steps: Sequence[int]) -> _Line | None:
    """Return how points follow, the last digit fastest; None where those of an image do not."""
    moving = [(d, s) for d, s in zip(digits, steps, strict=True) if d.extent > 1]
    space = [(d, s) for d, s in moving if d.axis is not None]
    step = _merged(moving)
    if step is not None:
        return _Line(0, step)
    step = _merged(space)
    if step is None or moving[0][0].axis is not None:
        return None
    return _Line(moving[0][1], step)


def _matrices(
    line: _Line | None, others: tuple[int, int], rows: int, images: int, of_image: int
) -> _Line | None:
    """Return a line if cuBLAS takes its points as columns; others are steps of groups and rows."""
    if line is None:
        return None
    group, down = others
    columns = of_image if line.image else images * of_image
    if min(group, line.image) < 0 or min(line.step, down) < 1:
        return None
    dense = (down == 1 and line.step >= rows) or (line.step == 1 and down >= columns)
    return line if rows == 1 or dense else None


def _merged(moving: Sequence[tuple[Digit, int]]) -> int | None:
    """Return the one step that all digits move by, or None where there is no such."""
    if not moving:
        return 1
    step = length = moving[-1][1]
    for digit, distance in reversed(moving):
        if distance != length:
            return None
        length *= digit.extent
    return step


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    How an ordinary layer becomes products.

    Attributes
    ----------
    points, depth : tuple of Digit
        Their digits, in the order of panels.
    data, out : _Line, optional
        How points follow in the data, where they are matrices, and in the result, where that is
        one; None where a panel stands for it, or a buffer.
    of_image : int
        Points of an image, of which no piece has some and some of another; 0 where images do not
        count.
    piece : tuple of int
        Points and depth of a panel at most.
    along_depth : bool
        Whether neighbours in a panel are those of the depth.
    """

    points: tuple[Digit, ...]
    depth: tuple[Digit, ...]
    data: _Line | None
    out: _Line | None
    of_image: int
    piece: tuple[int, int]
    along_depth: bool

    @property
    def channels_last(self) -> bool:
        """Whether channels are the fastest digit of the depth."""
        return self.depth[-1].axis is None

    def pieces(self) -> Iterator[tuple[int, int]]:
        """Yield the first point and the points of each piece."""
        total = math.prod(d.extent for d in self.points)
        most = self.piece[0]
        of_image = self.of_image or total
        if most >= of_image:
            most -= most % of_image if self.of_image else 0
            of_image = total
        for image in range(0, total, of_image):
            for first in range(image, image + of_image, most):
                yield first, min(most, image + of_image - first)

    def calls(self, groups: int) -> int:
        """Count the products."""
        parts = -(-math.prod(d.extent for d in self.depth) // self.piece[1])
        return sum(parts * min(groups, self.images(count)) for _, count in self.pieces())

    def images(self, count: int) -> int:
        """Return how many images so many points are, each a matrix by itself."""
        return max(count // self.of_image, 1) if self.of_image else 1

    def workspace(self, problem: Problem) -> int:
        """Return the bytes of a panel, a buffer, and taps as matrices."""
        points, depth = self.piece
        outputs = problem.w[1]
        panel = 0 if self.data is not None else points * depth
        buffer = 0 if self.out is not None else points * outputs
        taps = min(depth + math.prod(problem.w[3:]), problem.taps) * outputs
        return problem.x[1] * (panel + buffer + taps) * problem.dtype.itemsize


@functools.lru_cache(maxsize=1024)
def _plan(problem: Problem, layout: Layout) -> _Plan:
    """Decide what is multiplied where it is, and how the rest is cut."""
    points = _gpu_layers.in_order(_gpu_layers.points_of(problem, layout))
    depth = _gpu_layers.depth_of(problem, layout)
    if depth[0].extent > 1 and _gpu_layers.in_order(depth)[-1].axis is None:
        depth = [*depth[1:], depth[0]]  # channels last
    images = problem.out[0]
    of_image = math.prod(d.extent for d in points) // images
    data = out = None
    if _is_pointwise(problem) and layout.dtypes[0] == problem.dtype:
        others = layout.x[1], layout.x[2]
        data = _line(points, [d.x for d in points])
        data = _matrices(data, others, problem.w[2], images, of_image)
    if layout.dtypes[2] == problem.dtype:
        others = layout.out[1], layout.out[2]
        out = _line(points, [d.other for d in points])
        out = _matrices(out, others, problem.w[1], images, of_image)
    many = min(images, problem.x[1]) > _MOST_CALLS
    if data is None and out is not None and out.image and (many or of_image < _LEAST_IMAGE):
        out = None  # products of small images would be small
    by_image = any(line is not None and line.image for line in (data, out))
    piece = _piece(problem, images * of_image, data is None, out is None)
    return _Plan(
        tuple(points),
        tuple(depth),
        data,
        out,
        of_image if by_image else 0,
        piece,
        _gpu_layers.distance(depth) < _gpu_layers.distance(points),
    )


def _is_pointwise(problem: Problem) -> bool:
    """Whether the data are what a panel would hold: of one tap, none beyond the edges."""
    return math.prod(problem.w[3:]) == 1 and not meets_zeros(problem)


def _piece(problem: Problem, points: int, panels: bool, buffered: bool) -> tuple[int, int]:
    """Return how many points and how much of the depth a panel and a buffer take at most."""
    room = _gpu_rates.describe(problem.device or 0).cache_bytes * _CACHE_SHARE
    room = min(room, problem.workspace_limit * _WORKSPACE_SHARE) / problem.dtype.itemsize
    room /= problem.x[1]
    depth = problem.taps if panels else 0
    if buffered:
        points = _within(points, room / problem.w[1])
    if panels:
        most = room / depth
        if most < min(points, _LEAST_POINTS):
            points = _within(points, _LEAST_POINTS)
            depth = _within(depth, room / points)
            most = room / depth
        points = _within(points, most)
    depth = depth or problem.taps
    if _are_many(problem):
        # Taps are copied channel by channel.
        each = math.prod(problem.w[3:])
        most = max(room // problem.w[1] // each, 1) * each
        depth = int(min(depth, most)) if depth < each else int(min(depth // each * each, most))
    return points, depth


def _are_many(problem: Problem) -> bool:
    """Whether taps are too large to be matrices all at once."""
    nbytes = math.prod(problem.w) * problem.dtype.itemsize
    return nbytes > problem.workspace_limit * _TAPS_SHARE


def _within(n: int, most: float) -> int:
    """Cut a number into pieces of one size, of at least one."""
    pieces = -(-n // max(int(most), 1))
    return -(-n // pieces)


# --- products -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Matrices:
    """
    A matrix of each group and image.

    Attributes
    ----------
    address : int
        Of the first one.
    group, image : int
        Elements from one group, or image, to the next.
    down, right : int
        Elements from one row, or column, to the next; one of them is 1, where there are several.
    """

    address: int
    group: int
    image: int
    down: int
    right: int

    def at(self, elements: int, itemsize: int) -> _Matrices:
        """Return those so many elements on."""
        place = self.address + elements * itemsize
        return _Matrices(place, self.group, self.image, self.down, self.right)

    @property
    def transposed(self) -> _Matrices:
        """The same with rows for columns."""
        return _Matrices(self.address, self.group, self.image, self.right, self.down)


@dataclass(frozen=True, slots=True)
class _Products:
    """
    Products of one dtype.

    Attributes
    ----------
    dtype : dtype
        Of all matrices.
    tf32 : bool
        Whether factors may be cut to TF32.
    """

    dtype: np.dtype[Any]
    tf32: bool

    def multiply(
        self,
        shape: tuple[int, int, int],
        factors: tuple[_Matrices, _Matrices],
        results: _Matrices,
        counts: tuple[int, int],
        add: bool,
    ) -> None:
        """
        Multiply the matrices of all groups and images.

        Parameters
        ----------
        shape : tuple of int
            Rows and columns of each product, and the terms that it sums.
        factors : tuple of _Matrices
            Taps, and what they meet.
        results : _Matrices
            The products.
        counts : tuple of int
            Groups and images.
        add : bool
            Whether products are added to what is there.
        """
        groups, images = counts
        every: tuple[_Matrices, ...] = (*factors, results)
        by_group, by_image = [m.group for m in every], [m.image for m in every]
        # cuBLAS takes stacks of one step: one call for each of the fewer.
        outer, inner, count = (by_image, by_group, groups)
        if groups <= images:
            outer, inner, count = by_group, by_image, images
        for i in range(min(groups, images)):
            some = every
            if i:
                size = self.dtype.itemsize
                some = tuple(m.at(i * step, size) for m, step in zip(every, outer, strict=True))
            self._call(shape, some, inner, count, add)

    def _call(
        self,
        shape: tuple[int, int, int],
        matrices: Sequence[_Matrices],
        steps: Sequence[int],
        count: int,
        add: bool,
    ) -> None:
        """Multiply a stack of matrices, a·b = c."""
        import cupy

        cublas, runtime = cupy.cuda.cublas, cupy.cuda.runtime
        rows, columns, terms = shape
        (a, b, c), (a_step, b_step, c_step) = matrices, steps
        if rows > 1 and c.down != 1:
            # Columns are dense for cuBLAS: it forms the transposed product.
            rows, columns = columns, rows
            a, b, c = b.transposed, a.transposed, c.transposed
            a_step, b_step = b_step, a_step
        types = {
            "f": (runtime.CUDA_R_32F, cublas.CUBLAS_COMPUTE_32F),
            "d": (runtime.CUDA_R_64F, cublas.CUBLAS_COMPUTE_64F),
            "F": (runtime.CUDA_C_32F, cublas.CUBLAS_COMPUTE_32F),
            "D": (runtime.CUDA_C_64F, cublas.CUBLAS_COMPUTE_64F),
        }
        element, compute = types[self.dtype.char]
        if self.tf32:
            compute = cublas.CUBLAS_COMPUTE_32F_FAST_TF32
        scales = np.array([1, int(add)], self.dtype)  # on the host: read before the call returns
        a_operation, a_pitch = _operand(cublas, a, rows, terms)
        b_operation, b_pitch = _operand(cublas, b, terms, columns)
        cublas.gemmStridedBatchedEx(
            cupy.cuda.get_cublas_handle(),
            a_operation,
            b_operation,
            rows,
            columns,
            terms,
            scales.ctypes.data,
            a.address,
            element,
            a_pitch,
            a_step,
            b.address,
            element,
            b_pitch,
            b_step,
            scales.ctypes.data + self.dtype.itemsize,
            c.address,
            element,
            _pitch(c.right, columns, rows),
            c_step,
            count,
            compute,
            cublas.CUBLAS_GEMM_DEFAULT,
        )


def _operand(cublas: Any, matrix: _Matrices, rows: int, columns: int) -> tuple[int, int]:
    """Return whether a factor is taken as it lies or transposed, and its lines' distance."""
    if rows == 1 or matrix.down == 1:
        return cublas.CUBLAS_OP_N, _pitch(matrix.right, columns, rows)
    return cublas.CUBLAS_OP_T, _pitch(matrix.down, rows, columns)


def _pitch(step: int, count: int, length: int) -> int:
    """Return the distance of lines of some length, which must be told though there be but one."""
    return step if count > 1 else max(length, 1)


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """
    Weights for matrix products.

    Attributes
    ----------
    direct : _gpu_layers.Kernel
        The same for the direct kernels.
    flag : array, optional
        An int32 that is 1 where a tap is not finite; None where that does no harm.
    matrices : dict
        Taps of phases as matrices, once wanted: by the phase, whether channels come last, and the
        stream, as no other waits until they are there. Streams of threads have no name to go by.
    """

    direct: _gpu_layers.Kernel
    flag: Any
    matrices: dict[tuple[int, bool, int], Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runner:
    """Solves one layer by matrix products."""

    problem: Problem
    phases: tuple[Phase, ...]
    meets_zeros: bool
    tf32: bool

    def converts(self, x: np.dtype[Any], out: np.dtype[Any]) -> bool:
        """Elements are converted as they are read and written."""
        return True

    def prepare(self, w: Weights) -> Kernel:
        """Bring the weights to the GPU, and have it look for taps that are not finite."""
        import cupy

        direct = _gpu_layers.prepare(w, self.problem.dtype)
        if not self.meets_zeros:
            return Kernel(direct, None)
        flag = cupy.zeros((), np.int32)
        _gpu_layers.look(self.problem, direct.taps, flag)
        return Kernel(direct, flag)

    def __call__(self, x: Any, kernel: Kernel, out: Any, threads: int) -> None:
        """Fill `out`."""
        for number, phase in enumerate(self.phases):
            taps = kernel.direct.taps[phase.taps]
            if phase.problem is None:
                _gpu_layers.solve(None, x, kernel.direct, taps, out[phase.out])
            else:
                self._solve(phase.problem, number, x, kernel, taps, out[phase.out])
        if kernel.flag is not None:
            direct = _gpu_layers.Runner(self.problem)
            direct.run(x, kernel.direct, out, address(kernel.flag))

    def _solve(
        self, problem: Problem, number: int, x: Any, kernel: Kernel, taps: Any, out: Any
    ) -> None:
        """Fill the outputs of an ordinary layer."""
        import cupy

        layout = _gpu_layers.layout_of(x, taps, out)
        plan = _plan(problem, layout)
        products = _Products(problem.dtype, self.tf32)
        groups, outputs = problem.w[:2]
        most, depth = plan.piece
        panel = sums = None
        if plan.data is None:
            panel = cupy.empty(groups * most * depth, problem.dtype)
        if plan.out is None:
            sums = cupy.empty(groups * most * outputs, problem.dtype)
        common = {**kernel.direct.addresses(), "out": address(out)}
        for piece in plan.pieces():
            results = self._results(problem, layout, plan, piece, out, sums)
            for begin in range(0, problem.taps, depth):
                terms = begin, min(depth, problem.taps - begin)
                matrices, skipped = self._taps(problem, number, kernel, taps, plan, terms)
                if panel is not None:
                    _gpu_layers.columns(
                        problem,
                        layout,
                        plan.depth,
                        piece,
                        terms,
                        plan.along_depth,
                        {"x": address(x), "sums": address(panel)},
                    )
                group, down, right = element_strides(matrices)
                left = _Matrices(address(matrices), group, 0, down, right)
                factors = (
                    left.at(skipped * right, problem.dtype.itemsize),
                    self._met(problem, layout, plan, piece, terms[1], x, panel),
                )
                images = plan.images(piece[1])
                shape = outputs, piece[1] // images, terms[1]
                products.multiply(shape, factors, results, (groups, images), begin > 0)
            if sums is not None:
                addresses = {**common, "sums": address(sums)}
                _gpu_layers.complete(problem, layout, 1, addresses, piece)
        if sums is None and (kernel.direct.bias is not None or kernel.direct.activation):
            _gpu_layers.complete(problem, layout, 1, common)

    def _results(
        self,
        problem: Problem,
        layout: Layout,
        plan: _Plan,
        piece: tuple[int, int],
        out: Any,
        sums: Any,
    ) -> _Matrices:
        """Return where products of some points go."""
        first, count = piece
        if sums is not None:
            return _Matrices(address(sums), problem.w[1] * count, plan.of_image, count, 1)
        assert plan.out is not None
        line = plan.out
        image = line.image or plan.of_image * line.step
        where = _Matrices(address(out), layout.out[1], image, layout.out[2], line.step)
        return where.at(line.element(first, plan.of_image), problem.dtype.itemsize)

    def _met(
        self,
        problem: Problem,
        layout: Layout,
        plan: _Plan,
        piece: tuple[int, int],
        terms: int,
        x: Any,
        panel: Any,
    ) -> _Matrices:
        """Return what the taps meet at some points."""
        first, count = piece
        if panel is not None:
            down, right = (1, terms) if plan.along_depth else (count, 1)
            return _Matrices(address(panel), terms * count, plan.of_image * right, down, right)
        assert plan.data is not None
        line = plan.data
        start = sum(problem.offset[3 + a] * layout.x[3 + a] for a in range(3))
        image = line.image or plan.of_image * line.step
        where = _Matrices(address(x), layout.x[1], image, layout.x[2], line.step)
        return where.at(start + line.element(first, plan.of_image), problem.dtype.itemsize)

    def _taps(
        self,
        problem: Problem,
        number: int,
        kernel: Kernel,
        taps: Any,
        plan: _Plan,
        terms: tuple[int, int],
    ) -> tuple[Any, int]:
        """Return matrices that hold some of the depth of all taps, and how much comes before it."""
        import cupy

        stream = cupy.cuda.get_current_stream().ptr
        key = number, plan.channels_last, stream
        matrix = kernel.matrices.get(key)
        begin, count = terms
        if matrix is None and not plan.channels_last and _are_many(problem):
            # Only what this panel meets.
            each = math.prod(problem.w[3:])
            channels = slice(begin // each, -(-(begin + count) // each))
            matrix = _as_matrices(taps[:, :, channels])
            begin -= channels.start * each
        elif matrix is None:
            if plan.channels_last:
                taps = taps.transpose(0, 1, 3, 4, 5, 2)
            matrix = _as_matrices(taps)
            if stream != _STREAM_OF_EACH_THREAD:
                kernel.matrices[key] = matrix
        return matrix, begin


def _as_matrices(taps: Any) -> Any:
    """Return taps as (group, output channel, depth), as they lie or in an array of their own."""
    import cupy

    matrices = taps.reshape(*taps.shape[:2], -1)
    group, down, right = element_strides(matrices)
    rows, columns = matrices.shape[1:]
    if group >= 0 and (
        (right == 1 and (down >= columns or rows == 1)) or (down == 1 and right >= rows)
    ):
        return matrices
    return cupy.ascontiguousarray(matrices)
