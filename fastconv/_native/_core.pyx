# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True
"""Glue between NumPy arrays and the kernels: pointers in, status out."""

cimport numpy as cnp
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.string cimport memcpy

import numpy as np

cnp.import_array()

cdef extern from "job.hpp" namespace "fastconv" nogil:
    ctypedef enum ElementType:
        BOOLEAN, INT8, INT16, INT32, INT64
        FLOAT32, FLOAT64, LONGDOUBLE
        COMPLEX64, COMPLEX128, CLONGDOUBLE
        ELEMENT_TYPES
    ctypedef enum StorageType:
        STORED_BOOL, STORED_INT8, STORED_UINT8, STORED_INT16, STORED_UINT16
        STORED_INT32, STORED_UINT32, STORED_INT64, STORED_UINT64
        STORED_FLOAT32, STORED_FLOAT64
        STORAGE_TYPES
    cdef enum class Boundary(int):
        pass
    ctypedef struct TileSet:
        int vector_bytes
    ctypedef struct SpectrumSet:
        void (*multiply_f32)(float*, const float*, ptrdiff_t, ptrdiff_t) noexcept nogil
        void (*multiply_f64)(double*, const double*, ptrdiff_t, ptrdiff_t) noexcept nogil
        bint (*all_finite_f32)(const float*, ptrdiff_t) noexcept nogil
        bint (*all_finite_f64)(const double*, ptrdiff_t) noexcept nogil
        ptrdiff_t (*zero_nonfinite_f32)(float*, ptrdiff_t) noexcept nogil
        ptrdiff_t (*zero_nonfinite_f64)(double*, ptrdiff_t) noexcept nogil
    ctypedef struct ProductSet:
        int vector_bytes
    ctypedef struct Level:
        const char* name
        TileSet* tiles
        SpectrumSet spectrum
        ProductSet products_f32

cdef extern from "boundary.hpp" namespace "fastconv" nogil:
    int MAX_AXES
    ctypedef struct GatherAxis:
        ptrdiff_t x_extent, x_stride, start, count, out_stride
    void c_gather "fastconv::gather"(
        const char* x, char* out, const GatherAxis* axes, int axis_count, ptrdiff_t unit_bytes,
        Boundary boundary, const char* fill)

cdef extern from "direct.hpp" namespace "fastconv" nogil:
    ctypedef struct CorrelationAxis:
        ptrdiff_t x_extent, x_stride, taps, w_stride, out_extent, out_stride, offset
    ctypedef struct Correlation:
        ElementType type
        int axis_count
        CorrelationAxis* axes
        const char* x
        const char* w
        char* out
        Boundary boundary
        const char* fill
        bint skip_zeros
    cdef enum class Status(int):
        ok
        no_memory
        unsupported_type
        workspace
    Status c_correlate "fastconv::correlate"(const Correlation& correlation, int threads)

cdef extern from "small.hpp" namespace "fastconv" nogil:
    bint finite_beyond_edges(const Correlation& correlation)
    bint correlate_small(const Correlation& correlation)

cdef extern from "blocks.hpp" namespace "fastconv" nogil:
    int MAX_TERMS
    cdef enum class PassKind(int):
        pass
    ctypedef struct BlockPass:
        PassKind kind
        int axis
        const char** taps
    ctypedef struct BlockFilter:
        ElementType type
        StorageType x_type, out_type
        bint cut, skip_zeros, refill
        int axis_count
        CorrelationAxis* axes
        const char* x
        char* out
        Boundary boundary
        const char* fill
        int terms, pass_count
        BlockPass* passes
    Status c_filter_blocks "fastconv::filter_blocks"(const BlockFilter& filter, int threads)

cdef extern from "overlap.hpp" namespace "fastconv" nogil:
    cdef enum:
        MET_NONFINITE, UNSURE, OUT_OF_RANGE
    ctypedef struct BlockRun:
        StorageType x_type, out_type
        double need
        const ptrdiff_t* chosen
        ptrdiff_t chosen_count
        unsigned char* marks

cdef extern from "linefft.hpp" namespace "fastconv" nogil:
    ctypedef struct LineFft:
        ElementType type
        ptrdiff_t points, skip
    int c_line_fft_lanes "fastconv::line_fft_lanes"(ElementType type)
    Status c_line_fft_spectrum "fastconv::line_fft_spectrum"(
        const LineFft& fft, const char* w, ptrdiff_t taps, void* spectrum)
    ptrdiff_t line_fft_count(const LineFft& fft, const Correlation& correlation)
    Status c_line_fft_correlate "fastconv::line_fft_correlate"(
        const LineFft& fft, const Correlation& correlation, const void* spectrum,
        const BlockRun& run, int threads)

cdef extern from "fourstep.hpp" namespace "fastconv" nogil:
    int MIN_LOG2_FOUR_STEP, MAX_LOG2_FOUR_STEP
    ctypedef struct FourStep:
        ElementType type
        ptrdiff_t points, step
    void c_four_step_scratch "fastconv::four_step_scratch"(
        const FourStep& fft, ptrdiff_t* block, ptrdiff_t* thread)
    Status c_four_step_spectrum "fastconv::four_step_spectrum"(
        const FourStep& fft, const char* w, ptrdiff_t taps, void* spectrum)
    ptrdiff_t four_step_count(const FourStep& fft, const Correlation& correlation)
    Status c_four_step_correlate "fastconv::four_step_correlate"(
        const FourStep& fft, const Correlation& correlation, const void* spectrum,
        const BlockRun& run, bint apart, int threads)

cdef extern from "tilefft.hpp" namespace "fastconv" nogil:
    int MAX_TILE_AXES
    ctypedef struct TileFft:
        ElementType type
        int axes
        ptrdiff_t* points
        ptrdiff_t* step
    void c_tile_fft_scratch "fastconv::tile_fft_scratch"(
        const TileFft& fft, ptrdiff_t* block, ptrdiff_t* thread)
    Status c_tile_fft_spectrum "fastconv::tile_fft_spectrum"(
        const TileFft& fft, const char* w, const ptrdiff_t* taps, void* spectrum)
    ptrdiff_t tile_fft_count(const TileFft& fft, const Correlation& correlation)
    Status c_tile_fft_correlate "fastconv::tile_fft_correlate"(
        const TileFft& fft, const Correlation& correlation, const void* spectrum,
        const BlockRun& run, bint apart, int threads)

cdef extern from "tilecut.hpp" namespace "fastconv" nogil:
    int MAX_TILE_LEVELS
    ctypedef struct TileTask:
        int axes
        ptrdiff_t* out
        ptrdiff_t* taps
        ptrdiff_t others
        ptrdiff_t lanes
        ptrdiff_t scalar_bytes
        ptrdiff_t most_points
    ctypedef struct TileLevel:
        ptrdiff_t bytes
        double share
    ctypedef struct TileCosts:
        double flop
        double line
        double forks
        int cores
        double speedup
        int level_count
        TileLevel* levels
    ctypedef struct TileCut:
        ptrdiff_t* points
        ptrdiff_t* step
        ptrdiff_t pairs
        double flops
        double lines
    bint c_cheapest_tiles "fastconv::cheapest_tiles"(
        const TileTask& task, const TileCosts& costs, TileCut* best)

cdef extern from "layers.hpp" namespace "fastconv" nogil:
    ctypedef struct LayerAxis:
        ptrdiff_t x_extent, x_stride, taps, w_stride, out_extent, out_stride
        ptrdiff_t offset, stride, dilation
    cdef enum class LayerActivation "fastconv::Activation"(int):
        none
        relu
    cdef enum class LayerForm(int):
        channels
        depthwise
    ctypedef struct Layer:
        ElementType type
        StorageType x_type, out_type
        int parts
        ptrdiff_t batch, groups, channels, outputs
        ptrdiff_t x_batch, x_group, x_channel
        ptrdiff_t w_group, w_output, w_channel
        ptrdiff_t out_batch, out_group, out_output
        LayerAxis* axes
        const char* x
        const char* w
        const char* bias
        char* out
        double x_zero
        LayerActivation activation
    ctypedef struct WinogradWeights:
        ElementType type
        ptrdiff_t lines, count
        ptrdiff_t line_stride, kernel_stride, row_stride, column_stride
        const char* taps
        ptrdiff_t point_stride
        char* transformed
    Status c_winograd_weights "fastconv::winograd_weights"(
        const WinogradWeights& weights, int threads)
    Status c_solve_layer "fastconv::solve_layer"(const Layer& layer, LayerForm form, int threads)
    ptrdiff_t c_layer_scratch "fastconv::layer_scratch"(
        const Layer& layer, LayerForm form, int threads)

cdef extern from "template.hpp" namespace "fastconv" nogil:
    int MATCH_AXES
    cdef enum class Measure(int):
        pass
    ctypedef struct MatchFactors:
        Measure measure
        double pixels, tilt, of_product, of_mean, of_all, mean, norm, empty, flat, unsure, floor
    ctypedef struct PixelSums:
        double sum, least, most
        ptrdiff_t count
    ctypedef struct MatchImage:
        ElementType type
        StorageType stored
        ptrdiff_t* extents
        ptrdiff_t* strides
        const char* x
    ctypedef struct Match:
        MatchImage image
        ptrdiff_t* taps
        ptrdiff_t* out
        ptrdiff_t* offset
        Boundary boundary
        const char* fill
        double scale, centre, level
        MatchFactors factors
    Status c_look_at_image "fastconv::look_at_image"(
        const MatchImage& image, int threads, PixelSums* sums)
    Status c_centre_image "fastconv::centre_image"(
        const MatchImage& image, double centre, double scale, char* out, int threads,
        double* squares)
    void c_match_tile "fastconv::match_tile"(const Match& match, ptrdiff_t* tile)
    Status c_finish_match "fastconv::finish_match"(
        const Match& match, char* out, int threads, ptrdiff_t* unsure)

cdef extern from "threads.hpp" namespace "fastconv" nogil:
    ctypedef void (*RangeFunction)(void*, ptrdiff_t, ptrdiff_t, int) noexcept nogil
    void parallel_for(ptrdiff_t items, int threads, RangeFunction body, void* context)

cdef extern from "dispatch.hpp" namespace "fastconv" nogil:
    ctypedef struct Levels:
        int count
        const Level** level
        bint* usable
        const Level* used
    const Levels& levels()

cdef extern from *:
    """
    #if defined(__VERSION__)
    #if defined(__clang__)
    #define FASTCONV_COMPILER __VERSION__
    #else
    #define FASTCONV_COMPILER "GCC " __VERSION__
    #endif
    #else
    #define FASTCONV_COMPILER "unknown"
    #endif
    """
    const char* FASTCONV_COMPILER


# --- dtypes ---------------------------------------------------------------------------------------

# ELEMENT_TYPES and STORAGE_TYPES stand for a type that no kernel knows.
cdef ElementType[64] element_types
cdef StorageType[64] storage_types


def _fill_element_types():
    cdef int i
    for i in range(64):
        element_types[i] = ELEMENT_TYPES
        storage_types[i] = STORAGE_TYPES
    stored = {
        "b1": STORED_BOOL, "i1": STORED_INT8, "u1": STORED_UINT8, "i2": STORED_INT16,
        "u2": STORED_UINT16, "i4": STORED_INT32, "u4": STORED_UINT32, "i8": STORED_INT64,
        "u8": STORED_UINT64, "f4": STORED_FLOAT32, "f8": STORED_FLOAT64,
    }
    known = {
        "b1": BOOLEAN, "i1": INT8, "i2": INT16, "i4": INT32, "i8": INT64, "f4": FLOAT32,
        "f8": FLOAT64, "f16": LONGDOUBLE, "f12": LONGDOUBLE, "c8": COMPLEX64, "c16": COMPLEX128,
        "c32": CLONGDOUBLE, "c24": CLONGDOUBLE,
    }
    # By kind and size, not by C's names: long is long long here and int there, and where long
    # double is double, its kernels are double's.
    for code in "?bhilqBHILQfdgFDG":
        dtype = np.dtype(code)
        i = dtype.num
        element_types[i] = known[f"{dtype.kind.replace('u', 'i')}{dtype.itemsize}"]
        storage_types[i] = stored.get(f"{dtype.kind}{dtype.itemsize}", STORAGE_TYPES)


_fill_element_types()


cdef inline ElementType element_type_of(cnp.ndarray a) noexcept:
    cdef int number = cnp.PyArray_TYPE(a)
    return element_types[number] if 0 <= number < 64 else ELEMENT_TYPES


def has_kernel(dtype):
    """Whether the direct kernels know a dtype (in native byte order)."""
    cdef int number = dtype.num
    if not 0 <= number < 64 or element_types[number] == ELEMENT_TYPES:
        return False
    return levels().used.tiles[<int>element_types[number]].vector_bytes != 0


cdef inline StorageType storage_type_of(cnp.ndarray a) noexcept:
    cdef int number = cnp.PyArray_TYPE(a)
    return storage_types[number] if 0 <= number < 64 else STORAGE_TYPES


def is_stored(dtype):
    """Whether `filter_blocks` reads and writes arrays of a dtype."""
    cdef int number = dtype.num
    return dtype.isnative and 0 <= number < 64 and storage_types[number] != STORAGE_TYPES


# --- direct correlation ---------------------------------------------------------------------------

cdef void fill_axes(Correlation* job, cnp.ndarray x, cnp.ndarray out, offset) except *:
    # Everything but the kernel.
    cdef CorrelationAxis* axis
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if (cnp.PyArray_NDIM(out) != ndim or len(offset) != ndim or ndim > MAX_AXES):
        raise ValueError("x, w, out and offset must have one dimensionality")
    job.type = element_type_of(x)
    job.axis_count = ndim
    for i in range(ndim):
        axis = &job.axes[i]
        axis.x_extent = cnp.PyArray_DIM(x, i)
        axis.x_stride = cnp.PyArray_STRIDE(x, i)
        axis.taps = 1
        axis.w_stride = 0
        axis.out_extent = cnp.PyArray_DIM(out, i)
        axis.out_stride = cnp.PyArray_STRIDE(out, i)
        axis.offset = offset[i]
    job.x = <const char*>cnp.PyArray_DATA(x)
    job.w = NULL
    job.out = <char*>cnp.PyArray_DATA(out)
    job.fill = NULL


def correlate(cnp.ndarray x, cnp.ndarray w, cnp.ndarray out, offset, int boundary=0,
              cnp.ndarray fill=None, bint skip_zeros=False, int threads=1):
    """
    Solve y[p] = sum_k w[k] * xtilde[p + offset + k] directly.

    Parameters
    ----------
    x, w, out : ndarray
        Arrays of one dtype, native byte order and one dimensionality, with any strides;
        none empty. ``out`` overlaps neither of the others.
    offset : sequence of int
        One index an axis.
    boundary : int
        A `Boundary`.
    fill : ndarray of size 1, optional
        The value beyond the edge for ``Boundary.CONSTANT``, of x's dtype.
    skip_zeros : bool
        Whether a tap that is zero is no tap, so that NaN and Inf do not meet it; float32 and
        float64 only.
    threads : int
        The most threads to use.

    Raises
    ------
    MemoryError
        If no scratch can be had.
    ValueError
        If the arrays do not fit each other, or the kernel is too large for the scratch bound.
    TypeError
        If no kernel knows the dtype.
    """
    cdef Correlation job
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    cdef Status status
    fill_axes(&job, x, out, offset)
    if cnp.PyArray_NDIM(w) != ndim:
        raise ValueError("x, w, out and offset must have one dimensionality")
    if x.size == 0 or w.size == 0 or out.size == 0:
        raise ValueError("x, w and out must not be empty")
    if job.type == ELEMENT_TYPES or element_type_of(w) != job.type or (
            element_type_of(out) != job.type):
        raise TypeError(f"no direct kernel for x {x.dtype}, w {w.dtype} and out {out.dtype}")
    for i in range(ndim):
        job.axes[i].taps = cnp.PyArray_DIM(w, i)
        job.axes[i].w_stride = cnp.PyArray_STRIDE(w, i)
    job.w = <const char*>cnp.PyArray_DATA(w)
    job.boundary = <Boundary>boundary
    job.skip_zeros = skip_zeros and (job.type == FLOAT32 or job.type == FLOAT64)
    if fill is not None:
        job.fill = <const char*>cnp.PyArray_DATA(fill)
    with nogil:
        status = c_correlate(job, threads)
    if status == Status.no_memory:
        raise MemoryError("no memory for the scratch of the direct kernels")
    if status == Status.unsupported_type:
        raise TypeError(f"no direct kernel for {x.dtype}")
    if status == Status.workspace:
        raise ValueError("the kernel is too large for the scratch of the direct kernels")


# --- filters in passes over blocks ----------------------------------------------------------------

class ScratchError(ValueError):
    """No block of a filter fits the scratch of a thread."""


PASS_TILE, PASS_ORDERED, PASS_BOX, PASS_RUNNING = range(4)
ALL_AXES = -1


def filter_blocks(cnp.ndarray x, cnp.ndarray out, passes, taps, offset, int boundary, dtype,
                  cnp.ndarray fill=None, bint cut=False, bint skip_zeros=False, bint refill=True,
                  int threads=1):
    """
    Filter in passes over blocks that stay in the cache.

    Parameters
    ----------
    x, out : ndarray
        Booleans, integers, float32 or float64 in native byte order, of one dimensionality, with any
        strides; none empty, and not overlapping.
    passes : sequence of (int, int, sequence of ndarray)
        Kind (PASS_TILE, PASS_ORDERED, PASS_BOX, PASS_RUNNING: one for all) and axis of each pass,
        or ALL_AXES for the only pass, and its kernel for each term: contiguous, of `dtype`, with
        taps[axis] elements.
    taps : sequence of int
        Taps of the kernel along each axis.
    offset : sequence of int
        Index into the extended input that the first tap reads for the first output, an axis.
    boundary : int
        A `Boundary`.
    dtype : dtype
        Of the computation: float32 or float64.
    fill : ndarray of size 1, optional
        The value beyond the edge for ``Boundary.CONSTANT``, of `dtype`.
    cut : bool
        Whether every pass gives numbers of out's dtype, cut toward zero and wrapped around.
    skip_zeros : bool
        Whether a tap that is zero is no tap (in a pass over all axes).
    refill : bool
        Whether every pass meets the fill beyond its edge, and not what earlier passes made of it.
    threads : int
        The most threads to use.

    Raises
    ------
    MemoryError
        If no scratch can be had.
    ScratchError
        If the kernel is too large for the scratch bound.
    ValueError
        If the arrays do not fit each other.
    TypeError
        If no kernel knows a dtype.
    """
    cdef Correlation job
    cdef BlockFilter filter
    cdef BlockPass* step
    cdef cnp.ndarray kernel
    cdef int i, p, t, kind, axis, ndim = cnp.PyArray_NDIM(x)
    cdef Status status
    cdef ptrdiff_t count
    fill_axes(&job, x, out, offset)
    filter.type = FLOAT32 if dtype.itemsize == 4 else FLOAT64
    filter.x_type = storage_type_of(x)
    filter.out_type = storage_type_of(out)
    if (filter.x_type == STORAGE_TYPES or filter.out_type == STORAGE_TYPES
            or dtype.kind != "f" or dtype.itemsize not in (4, 8)):
        raise TypeError(f"no kernel filters {x.dtype} into {out.dtype} by {dtype}")
    if not (x.dtype.isnative and out.dtype.isnative):
        raise TypeError(f"x and out must be in native byte order, not {x.dtype} and {out.dtype}")
    if x.size == 0 or out.size == 0 or len(taps) != ndim or not 0 < len(passes) <= MAX_AXES:
        raise ValueError("x and out must not be empty, and taps must have a number an axis")
    if not cnp.PyArray_ISWRITEABLE(out):
        raise ValueError("out is read-only")
    if not 0 <= boundary < 6 or threads < 1:
        raise ValueError(f"no such boundary, or no thread: {boundary}, {threads}")
    if fill is not None and (fill.dtype != dtype or fill.size != 1):
        raise ValueError(f"fill must be one element of {dtype}")
    filter.axis_count = ndim
    for i in range(ndim):
        filter.axes[i] = job.axes[i]
        filter.axes[i].taps = taps[i]
        if filter.axes[i].taps < 1:
            raise ValueError("every axis must have a tap")
    filter.x = job.x
    filter.out = job.out
    filter.boundary = <Boundary>boundary
    filter.fill = NULL
    if fill is not None:
        filter.fill = <const char*>cnp.PyArray_DATA(fill)
    filter.cut = cut
    filter.skip_zeros = skip_zeros
    filter.refill = refill
    filter.pass_count = len(passes)
    filter.terms = len(passes[0][2])
    if not 0 < filter.terms <= MAX_TERMS:
        raise ValueError("a pass must have a kernel, and few of them")
    along = [axis for _, axis, _ in passes]
    whole = along == [ALL_AXES]
    if not whole and sorted(along) != sorted(set(along).union(
            [i for i in range(ndim) if filter.axes[i].taps > 1])):
        raise ValueError("every axis with taps must have one pass, unless one is over all")
    for p, (kind, axis, kernels) in enumerate(passes):
        step = &filter.passes[p]
        if kind != passes[0][0] or not PASS_TILE <= kind <= PASS_RUNNING or (
                whole and kind > PASS_ORDERED) or (
                kind == PASS_RUNNING and filter.type != FLOAT64):
            raise ValueError(f"no passes of kind {kind} along {along} in {dtype}")
        step.kind = <PassKind>(<int>kind)
        step.axis = axis
        if not (0 <= axis < ndim or (axis == ALL_AXES and len(passes) == 1)):
            raise ValueError("a pass must be along an axis, or the only one over all")
        if len(kernels) != filter.terms or (kind != PASS_TILE and filter.terms > 1):
            raise ValueError("every pass must have a kernel for each term, and other kinds but one")
        count = 1
        for i in range(ndim):
            if axis == ALL_AXES or axis == i:
                count *= filter.axes[i].taps
        for t, kernel in enumerate(kernels):
            if kernel.dtype != dtype or kernel.size != count or not cnp.PyArray_ISCARRAY_RO(kernel):
                raise ValueError("a pass' kernels must be contiguous, of dtype and the axis' taps")
            step.taps[t] = <const char*>cnp.PyArray_DATA(kernel)
    with nogil:
        status = c_filter_blocks(filter, threads)
    if status == Status.no_memory:
        raise MemoryError("no memory for the scratch of the passes")
    if status == Status.workspace:
        raise ScratchError("the kernel is too large for the scratch of the passes")


# --- overlap-save: lines in lanes, long lines, tiles ----------------------------------------------

BLOCK_NONFINITE = MET_NONFINITE
BLOCK_UNSURE = UNSURE
BLOCK_OUT_OF_RANGE = OUT_OF_RANGE


cdef StorageType scalar_storage_of(cnp.ndarray a) noexcept:
    """How an array stores its scalars: the parts of complex numbers."""
    cdef ElementType type = element_type_of(a)
    if type == COMPLEX64:
        return STORED_FLOAT32
    return STORED_FLOAT64 if type == COMPLEX128 else storage_type_of(a)


cdef int fill_blocks(Correlation* job, BlockRun* run, ElementType type, cnp.ndarray x,
                     cnp.ndarray spectrum, cnp.ndarray out, offset, taps, double need,
                     cnp.ndarray chosen, int boundary, cnp.ndarray fill) except -1:
    """Describe what all kinds of blocks have in common; the taps are those of the last axes."""
    cdef int i, ndim = cnp.PyArray_NDIM(x), batches = ndim - len(taps)
    fill_axes(job, x, out, offset)
    if x.size == 0 or out.size == 0 or batches < 0 or not cnp.PyArray_ISCARRAY_RO(spectrum):
        raise ValueError("x, out and spectrum must hold something, the spectrum contiguously")
    for i in range(batches):
        if job.axes[i].offset != 0 or job.axes[i].x_extent != job.axes[i].out_extent:
            raise ValueError("axes but the last must be batches")
    for i in range(len(taps)):
        if taps[i] < 1:
            raise ValueError("every axis must have a tap")
        job.axes[batches + i].taps = taps[i]
    cdef bint of_complex = type == COMPLEX64 or type == COMPLEX128
    cdef bint x_complex = x.dtype.kind == "c", out_complex = out.dtype.kind == "c"
    run.x_type = scalar_storage_of(x)
    run.out_type = scalar_storage_of(out)
    if (run.x_type == STORAGE_TYPES or run.out_type == STORAGE_TYPES
            or run.out_type == STORED_BOOL or not (x.dtype.isnative and out.dtype.isnative)
            or x_complex != of_complex or out_complex != of_complex
            or (out.dtype.kind in "iu" and type != FLOAT64)):
        raise TypeError(f"no kernel transforms x {x.dtype} to out {out.dtype}")
    if fill is not None and element_type_of(fill) != type:
        raise ValueError(f"fill must be of the computation's dtype, not {fill.dtype}")
    job.boundary = <Boundary>boundary
    job.fill = NULL
    if fill is not None:
        job.fill = <const char*>cnp.PyArray_DATA(fill)
    run.need = need
    run.chosen = NULL
    run.chosen_count = 0
    if chosen is not None:
        if chosen.dtype != np.intp or not cnp.PyArray_ISCARRAY_RO(chosen) or chosen.ndim != 1:
            raise ValueError("chosen must hold block numbers contiguously")
        run.chosen = <const ptrdiff_t*>cnp.PyArray_DATA(chosen)
        run.chosen_count = chosen.size
    return 0


cdef cnp.ndarray make_marks(BlockRun* run, ptrdiff_t count, cnp.ndarray chosen):
    """Make the marks of all blocks, none of them set."""
    if chosen is not None and chosen.size and not 0 <= chosen.min() <= chosen.max() < count:
        raise ValueError(f"chosen must lie in the {count} blocks")
    cdef cnp.ndarray marks = np.zeros(count, np.uint8)
    run.marks = <unsigned char*>cnp.PyArray_DATA(marks)
    return marks


cdef ElementType type_of_spectrum(cnp.ndarray spectrum, bint of_complex) noexcept:
    single = cnp.PyArray_TYPE(spectrum) in (cnp.NPY_FLOAT, cnp.NPY_CFLOAT)
    if of_complex:
        return COMPLEX64 if single else COMPLEX128
    return FLOAT32 if single else FLOAT64


def line_fft_lanes(dtype):
    """Blocks of a dtype that are transformed side by side; 0 where there is no kernel."""
    cdef int number = dtype.num
    if not 0 <= number < 64:
        return 0
    return c_line_fft_lanes(element_types[number])


def line_fft_spectrum(cnp.ndarray w, ptrdiff_t points):
    """
    Transform the taps of a line for `line_fft_correlate`.

    Parameters
    ----------
    w : ndarray
        1-D, contiguous, at most `points` taps; float32, float64, complex64 or complex128.
    points : int
        Length of the transforms: a power of two, at least 64.

    Returns
    -------
    ndarray
        The spectrum, in the transforms' own order, of the complex dtype of w's precision.
    """
    cdef LineFft fft
    cdef cnp.ndarray spectrum
    cdef cnp.npy_intp extent = points
    cdef Status status
    fft.type = element_type_of(w)
    fft.points = points
    fft.skip = 0
    if c_line_fft_lanes(fft.type) == 0:
        raise TypeError(f"no kernel transforms {w.dtype}")
    if (cnp.PyArray_NDIM(w) != 1 or not cnp.PyArray_ISCARRAY_RO(w) or points < 64
            or points & (points - 1) or not 0 < w.size <= points):
        raise ValueError("w must be a contiguous line no longer than points, a power of two")
    single = fft.type == FLOAT32 or fft.type == COMPLEX64
    spectrum = <cnp.ndarray>cnp.PyArray_SimpleNew(
        1, &extent, cnp.NPY_CFLOAT if single else cnp.NPY_CDOUBLE)
    cdef const char* taps = <const char*>cnp.PyArray_DATA(w)
    cdef void* target = cnp.PyArray_DATA(spectrum)
    cdef ptrdiff_t count = w.size
    with nogil:
        status = c_line_fft_spectrum(fft, taps, count, target)
    if status != Status.ok:
        raise MemoryError("no memory for a transform")
    return spectrum


def line_fft_correlate(cnp.ndarray x, cnp.ndarray spectrum, ptrdiff_t taps, cnp.ndarray out, offset,
                       ptrdiff_t skip, int boundary=0, cnp.ndarray fill=None, int threads=1,
                       double need=0, cnp.ndarray chosen=None):
    """
    Correlate along the last axis by overlap-save, with a kernel from `line_fft_spectrum`.

    Parameters
    ----------
    x, out : ndarray
        Arrays in native byte order, of one dimensionality, with any strides; none empty, none
        overlapping. Along all axes but the last they are as long as each other. The computation
        is in the spectrum's precision, complex where x and out are; real numbers of any type are
        converted. Integers in `out` are rounded, which takes a double spectrum, and wrap around.
    spectrum : ndarray
        The kernel's spectrum; its length is that of the transforms.
    taps : int
        Taps of the kernel.
    out : ndarray
        Changed in place.
    offset : sequence of int
        One index an axis; 0 but for the last.
    skip : int
        Outputs of a block that are thrown away: a multiple of the lanes, at least taps - 1.
    boundary, threads
        As for `correlate`.
    fill : ndarray, optional
        One element of the computation's dtype.
    need : float
        The largest of any 32 neighbouring outputs is to be this times the 2-norm of their block's
        data. At 0 nothing is checked, and NaN and Inf spoil their block.
    chosen : ndarray of intp, optional
        Numbers of the blocks to be done; all by default. Blocks are numbered along the lines.

    Returns
    -------
    ndarray of uint8
        Marks of every block: BLOCK_NONFINITE where it met NaN or Inf, which counted as zero;
        BLOCK_UNSURE where outputs fall short of the need; BLOCK_OUT_OF_RANGE where it was left
        undone, or overflowed.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef Correlation job
    cdef LineFft fft
    cdef BlockRun run
    cdef Status status
    cdef const void* h = cnp.PyArray_DATA(spectrum)
    fft.type = type_of_spectrum(spectrum, x.dtype.kind == "c")
    fft.points = spectrum.size
    fft.skip = skip
    if cnp.PyArray_TYPE(spectrum) not in (cnp.NPY_CFLOAT, cnp.NPY_CDOUBLE):
        raise TypeError(f"a spectrum is complex, not {spectrum.dtype}")
    fill_blocks(&job, &run, fft.type, x, spectrum, out, offset, (taps,), need, chosen, boundary,
                fill)
    if (skip < taps - 1 or skip % c_line_fft_lanes(fft.type) or skip >= fft.points
            or fft.points < 64 or fft.points & (fft.points - 1)):
        raise ValueError("x, out, spectrum, taps and skip do not fit each other")
    marks = make_marks(&run, line_fft_count(fft, job), chosen)
    with nogil:
        status = c_line_fft_correlate(fft, job, h, run, threads)
    if status != Status.ok:
        raise MemoryError("no memory for the scratch of the transforms")
    return marks


cdef int fill_four_step(FourStep* fft, ElementType type, ptrdiff_t points) except -1:
    fft.type = type
    fft.points = points
    fft.step = points
    if type != FLOAT32 and type != FLOAT64:
        raise TypeError("long lines hold float32 or float64")
    if (not 1 << MIN_LOG2_FOUR_STEP <= points <= 1 << MAX_LOG2_FOUR_STEP
            or points & (points - 1)):
        raise ValueError("points must be a power of two from 2^10 to 2^20")
    return 0


def four_step_scratch(dtype, ptrdiff_t points):
    """Bytes that a block of `four_step_correlate` takes, and a thread that works on it."""
    cdef FourStep fft
    cdef ptrdiff_t block = 0, thread = 0
    fill_four_step(&fft, element_types[dtype.num], points)
    c_four_step_scratch(fft, &block, &thread)
    return block, thread


def four_step_spectrum(cnp.ndarray w, ptrdiff_t points):
    """
    Transform the taps of a line for `four_step_correlate`.

    Parameters
    ----------
    w : ndarray
        1-D, contiguous, at most `points` taps; float32 or float64.
    points : int
        Real points of a block: a power of two, 2^10 to 2^20.

    Returns
    -------
    ndarray
        The spectrum's scalars, in the block's own order.
    """
    cdef FourStep fft
    cdef cnp.npy_intp extent = points
    cdef Status status
    fill_four_step(&fft, element_type_of(w), points)
    if cnp.PyArray_NDIM(w) != 1 or not cnp.PyArray_ISCARRAY_RO(w) or not 0 < w.size <= points:
        raise ValueError("w must be a contiguous line no longer than points")
    cdef cnp.ndarray spectrum = <cnp.ndarray>cnp.PyArray_SimpleNew(
        1, &extent, cnp.PyArray_TYPE(w))
    cdef const char* taps = <const char*>cnp.PyArray_DATA(w)
    cdef void* target = cnp.PyArray_DATA(spectrum)
    cdef ptrdiff_t count = w.size
    with nogil:
        status = c_four_step_spectrum(fft, taps, count, target)
    if status != Status.ok:
        raise MemoryError("no memory for a transform")
    return spectrum


def four_step_correlate(cnp.ndarray x, cnp.ndarray spectrum, ptrdiff_t taps, cnp.ndarray out,
                        offset, ptrdiff_t step, bint apart=True, int boundary=0,
                        cnp.ndarray fill=None, int threads=1, double need=0,
                        cnp.ndarray chosen=None):
    """
    Correlate real data along the last axis by overlap-save, in blocks of `four_step_spectrum`.

    Parameters
    ----------
    step : int
        Outputs of a block; step + taps - 1 is at most its points.
    apart : bool
        Whether threads work on blocks of their own, instead of together on each.
    x, spectrum, taps, out, offset, boundary, fill, threads, need, chosen
        As for `line_fft_correlate`.

    Returns
    -------
    ndarray of uint8
        Marks of every block, as from `line_fft_correlate`.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef Correlation job
    cdef FourStep fft
    cdef BlockRun run
    cdef Status status
    cdef const void* h = cnp.PyArray_DATA(spectrum)
    fill_four_step(&fft, element_type_of(spectrum), spectrum.size)
    fft.step = step
    fill_blocks(&job, &run, fft.type, x, spectrum, out, offset, (taps,), need, chosen, boundary,
                fill)
    if step < 1 or step + taps - 1 > fft.points or threads < 1:
        raise ValueError("the taps and the step must fit the points")
    marks = make_marks(&run, four_step_count(fft, job), chosen)
    with nogil:
        status = c_four_step_correlate(fft, job, h, run, apart, threads)
    if status != Status.ok:
        raise MemoryError("no memory for the scratch of the transforms")
    return marks


cdef int fill_tile(TileFft* fft, ElementType type, points) except -1:
    """Describe a tile, and return the number of its points."""
    cdef int i, total = 1
    fft.type = type
    fft.axes = len(points)
    if type != FLOAT32 and type != FLOAT64:
        raise TypeError("tiles hold float32 or float64")
    if not 2 <= fft.axes <= MAX_TILE_AXES:
        raise ValueError("a tile has two or three axes")
    for i in range(fft.axes):
        if not 16 <= points[i] <= 4096 or points[i] & (points[i] - 1):
            raise ValueError("points must be powers of two from 16 to 4096")
        fft.points[i] = points[i]
        fft.step[i] = points[i]
        if total > (1 << 27) // points[i]:
            raise ValueError("the tile is too large")
        total *= points[i]
    return total


def cheapest_tiles(out, taps, ptrdiff_t others, dtype, ptrdiff_t most_points, costs, levels):
    """
    Cut a correlation along two or three axes into the tiles that take the least time.

    Parameters
    ----------
    out, taps : sequence of int
        Outputs and taps along each axis.
    others : int
        How many such correlations there are.
    dtype : dtype
        Of the transforms: float32 or float64.
    most_points : int
        Of a tile.
    costs : tuple
        Seconds of a flop, of a line that is copied and of the forks of a pair; cores; how much
        faster all of them are on one pair.
    levels : sequence of (int, float)
        Bytes of a pair, rising, and the share of the rate that is left for no more than those.

    Returns
    -------
    tuple or None
        Points and steps along each axis, pairs of tiles, and of one pair flops (more where the rate
        is less) and copied lines; None where no tile fits.
    """
    cdef TileTask task
    cdef TileCosts c
    cdef TileCut best
    cdef int i
    task.axes = len(out)
    if not 2 <= task.axes <= MAX_TILE_AXES or len(levels) > MAX_TILE_LEVELS or not levels:
        raise ValueError("a tile has two or three axes, a rate up to eight levels")
    for i in range(task.axes):
        task.out[i] = out[i]
        task.taps[i] = taps[i]
        if task.out[i] < 1 or task.taps[i] < 1:
            raise ValueError("there must be outputs and taps")
    task.others = others
    task.lanes = line_fft_lanes(dtype)
    task.scalar_bytes = dtype.itemsize
    task.most_points = most_points
    c.flop, c.line, c.forks, c.cores, c.speedup = costs
    c.level_count = len(levels)
    for i in range(c.level_count):
        c.levels[i].bytes, c.levels[i].share = levels[i]
    if task.lanes < 1 or c.cores < 1:
        raise ValueError("tiles hold float32 or float64, and take at least one core")
    if not c_cheapest_tiles(task, c, &best):
        return None
    return (tuple([best.points[i] for i in range(task.axes)]),
            tuple([best.step[i] for i in range(task.axes)]), best.pairs, best.flops, best.lines)


def tile_fft_scratch(dtype, points):
    """Bytes that a pair of tiles of `tile_fft_correlate` takes, and a thread that works on it."""
    cdef TileFft fft
    cdef ptrdiff_t block = 0, thread = 0
    fill_tile(&fft, element_types[dtype.num], points)
    c_tile_fft_scratch(fft, &block, &thread)
    return block, thread


def tile_fft_spectrum(cnp.ndarray w, points):
    """
    Transform a kernel for `tile_fft_correlate`.

    Parameters
    ----------
    w : ndarray
        Contiguous, float32 or float64, with two or three axes.
    points : sequence of int
        Extents of the tile: powers of two, 16 to 4096, at least the taps along each axis.

    Returns
    -------
    ndarray
        The spectrum's scalars, in the tile's own order.
    """
    cdef TileFft fft
    cdef cnp.npy_intp extent = 2 * fill_tile(&fft, element_type_of(w), points)
    cdef ptrdiff_t[4] taps
    cdef int i
    cdef Status status
    if cnp.PyArray_NDIM(w) != fft.axes or not cnp.PyArray_ISCARRAY_RO(w):
        raise ValueError("w must be contiguous and have an axis for each of points")
    for i in range(fft.axes):
        taps[i] = cnp.PyArray_DIM(w, i)
        if not 1 <= taps[i] <= fft.points[i]:
            raise ValueError("w must fit the tile")
    cdef cnp.ndarray spectrum = <cnp.ndarray>cnp.PyArray_SimpleNew(
        1, &extent, cnp.PyArray_TYPE(w))
    cdef const char* data = <const char*>cnp.PyArray_DATA(w)
    cdef void* target = cnp.PyArray_DATA(spectrum)
    with nogil:
        status = c_tile_fft_spectrum(fft, data, taps, target)
    if status != Status.ok:
        raise MemoryError("no memory for a transform")
    return spectrum


def tile_fft_correlate(cnp.ndarray x, cnp.ndarray spectrum, points, taps, cnp.ndarray out, offset,
                       step, bint apart=True, int boundary=0, cnp.ndarray fill=None,
                       int threads=1, double need=0, cnp.ndarray chosen=None):
    """
    Correlate real data along the last axes by overlap-save, in tiles of `tile_fft_spectrum`.

    Parameters
    ----------
    points, taps, step : sequence of int
        Extents of the tile, of the kernel and of a tile's outputs, along the last axes.
    offset : sequence of int
        One index an axis; 0 but for the tile's.
    apart : bool
        Whether threads work on pairs of tiles of their own, instead of together on each.
    chosen : ndarray of intp, optional
        Numbers of the tiles to be done; all by default. Tiles are numbered last axis first.
    x, spectrum, out, boundary, fill, threads, need
        As for `line_fft_correlate`.

    Returns
    -------
    ndarray of uint8
        Marks of every tile, as from `line_fft_correlate`.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef Correlation job
    cdef TileFft fft
    cdef BlockRun run
    cdef int i
    cdef Status status
    cdef const void* h = cnp.PyArray_DATA(spectrum)
    total = fill_tile(&fft, element_type_of(spectrum), points)
    if len(taps) != fft.axes or len(step) != fft.axes or spectrum.size != 2 * total:
        raise ValueError("x, out, spectrum, points, taps and step do not fit each other")
    fill_blocks(&job, &run, fft.type, x, spectrum, out, offset, taps, need, chosen, boundary, fill)
    for i in range(fft.axes):
        fft.step[i] = step[i]
        if not 1 <= step[i] <= fft.points[i] - taps[i] + 1:
            raise ValueError("the taps and the step must fit the tile")
    if threads < 1:
        raise ValueError(f"threads must be positive, not {threads}")
    marks = make_marks(&run, tile_fft_count(fft, job), chosen)
    with nogil:
        status = c_tile_fft_correlate(fft, job, h, run, apart, threads)
    if status != Status.ok:
        raise MemoryError("no memory for the scratch of the transforms")
    return marks


# Multiply-adds and taps up to which a call takes the fast road: 10 µs of float32 at AVX-512, for
# which no thread and no FFT pays. From GIL_MACS on it might take 20 µs somewhere, and the GIL is
# released.
cdef enum:
    SHORT_MACS = 1 << 19
    SHORT_TAPS = 1 << 10
    GIL_MACS = 1 << 15

# Whose rules for modes a call follows.
cdef enum Rules:
    SIGNAL_CONVOLVE, SIGNAL_CORRELATE, SIGNAL_CONVOLVE2D, SIGNAL_CORRELATE2D
    NUMPY_CONVOLVE, NUMPY_CORRELATE

SHORT_SIGNAL_CONVOLVE = SIGNAL_CONVOLVE
SHORT_SIGNAL_CORRELATE = SIGNAL_CORRELATE
SHORT_SIGNAL_CONVOLVE2D = SIGNAL_CONVOLVE2D
SHORT_SIGNAL_CORRELATE2D = SIGNAL_CORRELATE2D
SHORT_NUMPY_CONVOLVE = NUMPY_CONVOLVE
SHORT_NUMPY_CORRELATE = NUMPY_CORRELATE

cdef enum Mode:
    FULL, SAME, VALID

cdef enum:
    SHORT_AXES = 4


cdef inline int mode_of(object mode) noexcept:
    if type(mode) is str:
        if mode == "same":
            return SAME
        if mode == "full":
            return FULL
        if mode == "valid":
            return VALID
    return -1


cdef inline bint axes_fit(cnp.ndarray x, int rules) noexcept:
    cdef int ndim = cnp.PyArray_NDIM(x)
    if rules == NUMPY_CONVOLVE or rules == NUMPY_CORRELATE:
        return ndim == 1
    if rules == SIGNAL_CONVOLVE2D or rules == SIGNAL_CORRELATE2D:
        return ndim == 2
    return 1 <= ndim <= SHORT_AXES


def short_call(in1, in2, mode, int rules):
    """
    Convolve or correlate two small arrays, or return None where this road is not for them.

    The fast road of small calls: plain contiguous arrays of one dtype, so small that planning
    would cost more than computing, with zeros beyond the edge. Everything else, and every error,
    is the long road's.
    """
    cdef cnp.ndarray x, w, out
    cdef Correlation job
    cdef CorrelationAxis* axis
    cdef cnp.npy_intp[SHORT_AXES] extents
    cdef ptrdiff_t n1, n2, start, macs, taps = 1, stride
    cdef bint swap, correlate, larger1 = True, larger2 = True, solved
    cdef int i, ndim, mode_code = mode_of(mode)
    if (mode_code < 0 or not cnp.PyArray_CheckExact(in1) or not cnp.PyArray_CheckExact(in2)):
        return None
    x = <cnp.ndarray>in1
    w = <cnp.ndarray>in2
    ndim = cnp.PyArray_NDIM(x)
    if (cnp.PyArray_NDIM(w) != ndim or not axes_fit(x, rules)
            or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(w)
            or not cnp.PyArray_ISCARRAY_RO(x) or not cnp.PyArray_ISCARRAY_RO(w)):
        return None
    job.type = element_type_of(x)
    if job.type == ELEMENT_TYPES:
        return None
    correlate = rules == SIGNAL_CORRELATE or rules == SIGNAL_CORRELATE2D or rules == NUMPY_CORRELATE
    swap = cnp.PyArray_SIZE(w) > cnp.PyArray_SIZE(x)
    if correlate and (swap or job.type >= COMPLEX64):
        return None  # these reverse and conjugate: the long road does
    macs = 1
    for i in range(ndim):
        n1 = cnp.PyArray_DIM(x, i)
        n2 = cnp.PyArray_DIM(w, i)
        larger1 = larger1 and n1 >= n2
        larger2 = larger2 and n2 >= n1
        if mode_code == FULL:
            extents[i] = n1 + n2 - 1
            start = 0
        elif mode_code == VALID:
            extents[i] = max(n1, n2) - min(n1, n2) + 1
            start = min(n1, n2) - 1
        else:
            extents[i] = max(n1, n2) if rules == NUMPY_CONVOLVE else n1
            start = (n2 if rules == SIGNAL_CORRELATE2D else n1 + n2 - 1 - extents[i]) // 2
        axis = &job.axes[i]
        axis.x_extent = n2 if swap else n1
        axis.taps = n1 if swap else n2
        axis.out_extent = extents[i]
        axis.offset = start - (axis.taps - 1)
        taps *= axis.taps
        if n1 == 0 or n2 == 0 or taps > SHORT_TAPS or extents[i] > SHORT_MACS:
            return None
        macs *= extents[i]
        if macs > SHORT_MACS:
            return None
    macs *= taps
    if macs > SHORT_MACS or (mode_code == VALID and not larger1 and not larger2):
        return None
    out = <cnp.ndarray>cnp.PyArray_SimpleNew(ndim, extents, cnp.PyArray_TYPE(x))
    if swap:
        x, w = w, x
    job.axis_count = ndim
    job.x = <const char*>cnp.PyArray_DATA(x)
    job.w = <const char*>cnp.PyArray_DATA(w)
    job.out = <char*>cnp.PyArray_DATA(out)
    job.boundary = <Boundary>0
    job.fill = NULL
    for i in range(ndim):
        axis = &job.axes[i]
        axis.x_stride = cnp.PyArray_STRIDE(x, i)
        axis.out_stride = cnp.PyArray_STRIDE(out, i)
        stride = cnp.PyArray_STRIDE(w, i)
        axis.w_stride = stride
        if not correlate:  # convolution: the taps from the last to the first
            job.w += (axis.taps - 1) * stride
            axis.w_stride = -stride
    if macs <= GIL_MACS:
        solved = finite_beyond_edges(job) and correlate_small(job)
    else:
        with nogil:
            solved = finite_beyond_edges(job) and correlate_small(job)
    return out if solved else None


cdef double LARGE_TAP = 2.0 ** 100

# What scipy.ndimage's modes mean, as Boundary; short_filter serves those that need no fill.
cdef dict filter_boundaries = {
    "reflect": 2, "grid-mirror": 2, "nearest": 4, "mirror": 3, "wrap": 5, "grid-wrap": 5,
    "constant": 0, "grid-constant": 0,
}


cdef inline bint lie_apart(cnp.ndarray a, cnp.ndarray b) noexcept:
    # Whether two contiguous arrays share no memory.
    cdef const char* first = <const char*>cnp.PyArray_DATA(a)
    cdef const char* second = <const char*>cnp.PyArray_DATA(b)
    return first + cnp.PyArray_NBYTES(a) <= second or second + cnp.PyArray_NBYTES(b) <= first


cdef inline bint takes_result(cnp.ndarray out, int ndim, const cnp.npy_intp* extents,
                              int kind) noexcept:
    # Whether an array is plain, and of this shape and dtype.
    cdef int i
    if (cnp.PyArray_NDIM(out) != ndim or cnp.PyArray_TYPE(out) != kind
            or not cnp.PyArray_ISCARRAY(out)):
        return False
    for i in range(ndim):
        if cnp.PyArray_DIM(out, i) != extents[i]:
            return False
    return True


cdef inline bint keeps_type(cnp.ndarray x, cnp.ndarray w, object output) except -1:
    # Whether an `output` argument asks for the input's own dtype, or is a plain array of it and of
    # the input's shape that shares no memory with input and weights.
    if output is None:
        return True
    if cnp.PyArray_CheckExact(output):
        return (takes_result(<cnp.ndarray>output, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x),
                             cnp.PyArray_TYPE(x))
                and lie_apart(<cnp.ndarray>output, x) and lie_apart(<cnp.ndarray>output, w))
    if type(output) is str:
        if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT:
            return output == "float32" or output == "f4"
        return output == "float64" or output == "f8"
    return cnp.PyArray_DescrCheck(output) and output is x.dtype


# Kernels of fewer taps than this are always summed directly; multiply-adds that are worth a thread.
cdef enum:
    DIRECT_TAPS = 25
    FILTER_TAPS = 256  # which a filter copies onto the stack
    THREAD_MACS = 1 << 20


def short_filter(input, weights, output, mode, cval, origin, axes, bint convolution, threads):
    """
    Correlate or convolve as scipy.ndimage does where there is nothing to choose, or return None.

    The fast road of small calls and of small kernels: plain contiguous float32 or float64 arrays of
    one dimensionality, a result of the input's dtype (a new one, or a plain array that lies apart
    from the arguments), no origin, and no fill but zero.
    `threads` is called for the number of threads where they pay. Everything else, and every error,
    is the long road's.
    """
    cdef cnp.ndarray x, w, out
    cdef Correlation job
    cdef CorrelationAxis* axis
    cdef ptrdiff_t macs, taps = 1, stride
    cdef int i, ndim, kind, most
    cdef double[FILTER_TAPS] wide
    cdef float[FILTER_TAPS] narrow
    cdef bint solved
    if (axes is not None or type(origin) is not int or origin != 0
            or not cnp.PyArray_CheckExact(input) or not cnp.PyArray_CheckExact(weights)
            or type(mode) is not str):
        return None
    x = <cnp.ndarray>input
    w = <cnp.ndarray>weights
    ndim = cnp.PyArray_NDIM(x)
    kind = cnp.PyArray_TYPE(x)
    boundary = filter_boundaries.get(mode)
    if (boundary is None or cnp.PyArray_NDIM(w) != ndim or not 1 <= ndim <= SHORT_AXES
            or (kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE)
            or (cnp.PyArray_TYPE(w) != cnp.NPY_FLOAT and cnp.PyArray_TYPE(w) != cnp.NPY_DOUBLE)
            or not cnp.PyArray_ISCARRAY_RO(x) or not cnp.PyArray_ISCARRAY_RO(w)
            or not keeps_type(x, w, output)):
        return None
    job.boundary = <Boundary><int>boundary
    if type(cval) is not float or (boundary == 0 and cval != 0):
        return None
    macs = 1
    for i in range(ndim):
        axis = &job.axes[i]
        axis.x_extent = axis.out_extent = cnp.PyArray_DIM(x, i)
        axis.x_stride = cnp.PyArray_STRIDE(x, i)
        axis.taps = cnp.PyArray_DIM(w, i)
        axis.offset = -((axis.taps - 1) // 2) if convolution else -(axis.taps // 2)
        taps *= axis.taps
        if axis.taps == 0 or axis.x_extent == 0 or taps > FILTER_TAPS:
            return None
        macs *= axis.x_extent
    macs *= taps
    if macs > SHORT_MACS and taps >= DIRECT_TAPS:
        return None
    job.type = element_type_of(x)
    job.axis_count = ndim
    job.x = <const char*>cnp.PyArray_DATA(x)
    job.fill = NULL
    job.skip_zeros = True
    # Taps of the input's dtype, in one row.
    if cnp.PyArray_TYPE(w) == kind:
        job.w = <const char*>cnp.PyArray_DATA(w)
    elif kind == cnp.NPY_FLOAT:
        for i in range(taps):
            if not -LARGE_TAP < (<const double*>cnp.PyArray_DATA(w))[i] < LARGE_TAP:
                return None  # float32 might not hold it, or its products
            narrow[i] = <float>(<const double*>cnp.PyArray_DATA(w))[i]
        job.w = <const char*>narrow
    else:
        for i in range(taps):
            wide[i] = <double>(<const float*>cnp.PyArray_DATA(w))[i]
        job.w = <const char*>wide
    if cnp.PyArray_Check(output):
        out = <cnp.ndarray>output
    else:
        out = <cnp.ndarray>cnp.PyArray_SimpleNew(ndim, cnp.PyArray_DIMS(x), kind)
    job.out = <char*>cnp.PyArray_DATA(out)
    stride = cnp.PyArray_ITEMSIZE(x)
    if convolution:
        job.w += (taps - 1) * stride
        stride = -stride
    for i in range(ndim - 1, -1, -1):
        axis = &job.axes[i]
        axis.out_stride = cnp.PyArray_STRIDE(out, i)
        axis.w_stride = stride
        stride *= axis.taps
    if macs <= GIL_MACS:
        solved = finite_beyond_edges(job) and correlate_small(job)
    elif macs <= SHORT_MACS:
        with nogil:
            solved = finite_beyond_edges(job) and correlate_small(job)
    else:
        most = min(<ptrdiff_t>threads(), macs // THREAD_MACS + 1)
        with nogil:
            solved = finite_beyond_edges(job) and c_correlate(job, most) == Status.ok
    return out if solved else None


cdef class ShortPlan:
    """
    A direct correlation of so little data that a call goes straight to the kernels.

    Its subclass has a method ``_run(data, out)``, the long road: it takes every call where there is
    no such correlation (`__init__` was not called, or found too much work) or where arrays are not
    plain, and words every error. Calls change nothing: they may come from several threads at once.

    Parameters
    ----------
    x, out : sequence of int
        Shapes of data and result.
    w : ndarray
        The kernel, of the dtype of data and result, with any strides; finite where windows reach
        beyond an edge to zeros. It is held, not copied.
    offset : sequence of int
        One index an axis.
    boundary : int
        A `Boundary`.
    fill : ndarray of size 1 or None
        The value beyond the edge for ``Boundary.CONSTANT``.
    skip_zeros : bool
        As in `correlate`.
    """

    cdef int axis_count     # zero where there is only the long road
    cdef CorrelationAxis[SHORT_AXES] axes
    cdef cnp.npy_intp[SHORT_AXES] extents   # of the result
    cdef ptrdiff_t macs
    cdef int kind
    cdef Boundary boundary
    cdef bint skip_zeros
    cdef cnp.ndarray w, fill

    def __init__(self, x, cnp.ndarray w, out, offset, int boundary, cnp.ndarray fill,
                 bint skip_zeros):
        cdef ElementType type = element_type_of(w)
        cdef CorrelationAxis* axis
        cdef ptrdiff_t stride = cnp.PyArray_ITEMSIZE(w), out_stride = stride, macs = 1
        cdef int i, ndim = cnp.PyArray_NDIM(w)
        if not 1 <= ndim <= SHORT_AXES or type == ELEMENT_TYPES:
            return
        for i in range(ndim - 1, -1, -1):
            axis = &self.axes[i]
            axis.x_extent, axis.out_extent, axis.offset = x[i], out[i], offset[i]
            axis.taps, axis.w_stride = cnp.PyArray_DIM(w, i), cnp.PyArray_STRIDE(w, i)
            axis.x_stride, axis.out_stride = stride, out_stride
            stride *= axis.x_extent
            out_stride *= axis.out_extent
            self.extents[i] = axis.out_extent
            if axis.out_extent > SHORT_MACS or axis.taps > SHORT_MACS:
                return
            macs *= axis.out_extent * axis.taps
            if macs > SHORT_MACS:
                return
        self.macs = macs
        self.kind = cnp.PyArray_TYPE(w)
        self.boundary = <Boundary>boundary
        self.skip_zeros = skip_zeros and (type == FLOAT32 or type == FLOAT64)
        self.w, self.fill = w, fill
        self.axis_count = ndim

    def __call__(self, data, out=None):
        """
        Compute the result for new data.

        Parameters
        ----------
        data : array_like
            Of the shape and dtype that the plan was made for.
        out : ndarray, optional
            Where to write the result.

        Returns
        -------
        ndarray
            `out`, or a new array.

        Raises
        ------
        ValueError
            If `data` or `out` has another shape or dtype, or `out` cannot be written.
        """
        cdef Correlation job
        cdef cnp.ndarray x, result
        cdef bint solved
        cdef int i
        if self.axis_count == 0 or not cnp.PyArray_CheckExact(data):
            return self._run(data, out)
        x = <cnp.ndarray>data
        if (cnp.PyArray_TYPE(x) != self.kind or cnp.PyArray_NDIM(x) != self.axis_count
                or not cnp.PyArray_ISCARRAY_RO(x)):
            return self._run(data, out)
        for i in range(self.axis_count):
            if cnp.PyArray_DIM(x, i) != self.axes[i].x_extent:
                return self._run(data, out)
            job.axes[i] = self.axes[i]
        if out is None:
            result = <cnp.ndarray>cnp.PyArray_SimpleNew(self.axis_count, self.extents, self.kind)
        elif (cnp.PyArray_CheckExact(out)
              and takes_result(<cnp.ndarray>out, self.axis_count, self.extents, self.kind)
              and lie_apart(<cnp.ndarray>out, x)):
            result = <cnp.ndarray>out
        else:
            return self._run(data, out)
        job.type = element_types[self.kind]
        job.axis_count = self.axis_count
        job.x = <const char*>cnp.PyArray_DATA(x)
        job.w = <const char*>cnp.PyArray_DATA(self.w)
        job.out = <char*>cnp.PyArray_DATA(result)
        job.boundary = self.boundary
        job.fill = NULL
        if self.fill is not None:
            job.fill = <const char*>cnp.PyArray_DATA(self.fill)
        job.skip_zeros = self.skip_zeros
        if self.macs <= GIL_MACS:
            solved = correlate_small(job)
        else:
            with nogil:
                solved = correlate_small(job)
        return result if solved else self._run(data, out)


# --- the extended input ---------------------------------------------------------------------------

cdef struct GatherJob:
    const char* x
    char* out
    GatherAxis* axes
    int axis_count
    ptrdiff_t unit
    Boundary boundary
    const char* fill


cdef void gather_range(void* context, ptrdiff_t first, ptrdiff_t last, int thread) noexcept nogil:
    # A range of the outermost axis.
    cdef GatherJob* job = <GatherJob*>context
    cdef GatherAxis[64] axes
    cdef int i
    for i in range(job.axis_count):
        axes[i] = job.axes[i]
    axes[0].start += first
    axes[0].count = last - first
    c_gather(job.x, job.out + first * axes[0].out_stride, axes, job.axis_count, job.unit,
             job.boundary, job.fill)


def gather(cnp.ndarray x, cnp.ndarray out, start, int boundary=0, cnp.ndarray fill=None,
           int threads=1):
    """
    Copy a block of the extended input: out[i] = xtilde[start + i].

    Parameters
    ----------
    x, out : ndarray
        Arrays of one dtype and dimensionality (at least one), none empty; the last axis of
        ``out`` has unit stride. They do not overlap.
    start : sequence of int
        One index an axis into the extended input.
    boundary : int
        A `Boundary`.
    fill : ndarray of size 1, optional
        The value beyond the edge for ``Boundary.CONSTANT``, of x's dtype.
    threads : int
        The most threads to use.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    TypeError
        If they hold Python objects.
    """
    cdef GatherAxis[64] axes
    cdef GatherJob job
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if (ndim == 0 or ndim > MAX_AXES or cnp.PyArray_NDIM(out) != ndim or len(start) != ndim
            or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(out)):
        raise ValueError("x, out and start must have one dimensionality, and x and out one dtype")
    if x.size == 0 or out.size == 0:
        raise ValueError("x and out must not be empty")
    if x.dtype.hasobject:
        raise TypeError(f"bytes of {x.dtype} cannot be copied: they hold references")
    if cnp.PyArray_STRIDE(out, ndim - 1) != cnp.PyArray_ITEMSIZE(out):
        raise ValueError("the last axis of out must be contiguous")
    for i in range(ndim):
        axes[i].x_extent = cnp.PyArray_DIM(x, i)
        axes[i].x_stride = cnp.PyArray_STRIDE(x, i)
        axes[i].start = start[i]
        axes[i].count = cnp.PyArray_DIM(out, i)
        axes[i].out_stride = cnp.PyArray_STRIDE(out, i)
    job.x = <const char*>cnp.PyArray_DATA(x)
    job.out = <char*>cnp.PyArray_DATA(out)
    job.axes = axes
    job.axis_count = ndim
    job.unit = cnp.PyArray_ITEMSIZE(x)
    job.boundary = <Boundary>boundary
    job.fill = NULL
    if fill is not None:
        job.fill = <const char*>cnp.PyArray_DATA(fill)
    with nogil:
        parallel_for(axes[0].count, threads, gather_range, &job)


# --- blocks of an overlap-save --------------------------------------------------------------------

cdef struct ScatterJob:
    GatherAxis* axes            # of the output (x_extent, x_stride) and of the blocks (out_stride)
    int axis_count
    ptrdiff_t unit
    const ptrdiff_t* skip       # the block's first valid element, and how many, an axis
    const ptrdiff_t* count
    int add                     # 0 stores, else adds: 4 or 8 bytes of float


def gather_blocks(cnp.ndarray x, cnp.ndarray blocks, cnp.ndarray starts, int boundary=0,
                  cnp.ndarray fill=None):
    """
    Copy many blocks of the extended input: blocks[b, i] = xtilde[starts[b] + i].

    Parameters
    ----------
    x : ndarray
        Data of any strides.
    blocks : ndarray
        One axis more than x, of its dtype, with a contiguous last axis.
    starts : ndarray of intp, C-contiguous
        Shape (number of blocks, x.ndim).
    boundary, fill
        As for `gather`.

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef GatherAxis[64] axes
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if (ndim == 0 or ndim > MAX_AXES or cnp.PyArray_NDIM(blocks) != ndim + 1
            or cnp.PyArray_TYPE(x) != cnp.PyArray_TYPE(blocks)
            or cnp.PyArray_STRIDE(blocks, ndim) != cnp.PyArray_ITEMSIZE(x)):
        raise ValueError("blocks must have one axis more than x, and its dtype")
    if x.dtype.hasobject:
        raise TypeError(f"bytes of {x.dtype} cannot be copied: they hold references")
    check_starts(starts, cnp.PyArray_DIM(blocks, 0), ndim)
    if x.size == 0 or blocks.size == 0:
        raise ValueError("x and blocks must not be empty")
    for i in range(ndim):
        axes[i].x_extent = cnp.PyArray_DIM(x, i)
        axes[i].x_stride = cnp.PyArray_STRIDE(x, i)
        axes[i].count = cnp.PyArray_DIM(blocks, i + 1)
        axes[i].out_stride = cnp.PyArray_STRIDE(blocks, i + 1)
    cdef const char* data = <const char*>cnp.PyArray_DATA(x)
    cdef char* block = <char*>cnp.PyArray_DATA(blocks)
    cdef const ptrdiff_t* start = <const ptrdiff_t*>cnp.PyArray_DATA(starts)
    cdef const char* fill_data = NULL
    cdef ptrdiff_t b, count = cnp.PyArray_DIM(blocks, 0)
    cdef ptrdiff_t stride = cnp.PyArray_STRIDE(blocks, 0), unit = cnp.PyArray_ITEMSIZE(x)
    if fill is not None:
        fill_data = <const char*>cnp.PyArray_DATA(fill)
    with nogil:
        for b in range(count):
            for i in range(ndim):
                axes[i].start = start[b * ndim + i]
            c_gather(data, block + b * stride, axes, ndim, unit, <Boundary>boundary, fill_data)


cdef check_starts(cnp.ndarray starts, ptrdiff_t blocks, int ndim):
    if (cnp.PyArray_TYPE(starts) != cnp.NPY_INTP or not cnp.PyArray_ISCARRAY_RO(starts)
            or cnp.PyArray_NDIM(starts) != 2 or cnp.PyArray_DIM(starts, 0) != blocks
            or cnp.PyArray_DIM(starts, 1) != ndim):
        raise ValueError("starts must be contiguous intp of shape (blocks, axes)")


cdef void put_line(char* out, ptrdiff_t out_stride, const char* line, ptrdiff_t count,
                   ptrdiff_t unit, int add) noexcept nogil:
    cdef ptrdiff_t i, k, scalars
    cdef float single, single_more
    cdef double double_, double_more
    if add == 0:
        if out_stride == unit:
            memcpy(out, line, count * unit)
        else:
            for i in range(count):
                memcpy(out + i * out_stride, line + i * unit, unit)
        return
    # By way of registers, as neither address need be aligned.
    scalars = unit // add
    for i in range(count):
        for k in range(scalars):
            if add == 4:
                memcpy(&single, out + i * out_stride + k * add, 4)
                memcpy(&single_more, line + i * unit + k * add, 4)
                single += single_more
                memcpy(out + i * out_stride + k * add, &single, 4)
            else:
                memcpy(&double_, out + i * out_stride + k * add, 8)
                memcpy(&double_more, line + i * unit + k * add, 8)
                double_ += double_more
                memcpy(out + i * out_stride + k * add, &double_, 8)


cdef void scatter_block(const ScatterJob* job, int axis, const ptrdiff_t* start, char* out,
                        const char* block) noexcept nogil:
    cdef const GatherAxis* a = &job.axes[axis]
    cdef ptrdiff_t i, count = min(job.count[axis], a.x_extent - start[axis])
    if start[axis] < 0 or count <= 0:
        return
    out += start[axis] * a.x_stride
    block += job.skip[axis] * a.out_stride
    if axis + 1 == job.axis_count:
        put_line(out, a.x_stride, block, count, job.unit, job.add)
        return
    for i in range(count):
        scatter_block(job, axis + 1, start, out + i * a.x_stride, block + i * a.out_stride)


def scatter_blocks(cnp.ndarray blocks, cnp.ndarray out, cnp.ndarray starts, skip, count,
                   bint add=False):
    """
    Put the valid part of many blocks into the output, cut at its end.

    Parameters
    ----------
    blocks : ndarray
        One axis more than `out`, of its dtype.
    out : ndarray
        Changed in place: out[starts[b] + i] = blocks[b, skip + i] for i < count, or += if `add`.
    starts : ndarray of intp, C-contiguous
        Shape (number of blocks, out.ndim), inside `out`; what the blocks cover does not overlap.
    skip, count : sequence of int
        One number an axis.
    add : bool
        Add to `out` (float32, float64 and their complex kinds only).

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    TypeError
        If `add` does not know the dtype.
    """
    cdef GatherAxis[64] axes
    cdef ptrdiff_t[64] skips
    cdef ptrdiff_t[64] counts
    cdef ScatterJob job
    cdef int i, ndim = cnp.PyArray_NDIM(out), kind = cnp.PyArray_TYPE(out)
    if (ndim == 0 or ndim > MAX_AXES or cnp.PyArray_NDIM(blocks) != ndim + 1
            or kind != cnp.PyArray_TYPE(blocks) or len(skip) != ndim or len(count) != ndim
            or cnp.PyArray_STRIDE(blocks, ndim) != cnp.PyArray_ITEMSIZE(out)):
        raise ValueError("blocks must have one axis more than out, and its dtype")
    if out.dtype.hasobject:
        raise TypeError(f"bytes of {out.dtype} cannot be copied: they hold references")
    check_starts(starts, cnp.PyArray_DIM(blocks, 0), ndim)
    job.add = 0
    if add:
        if kind == cnp.NPY_FLOAT or kind == cnp.NPY_CFLOAT:
            job.add = 4
        elif kind == cnp.NPY_DOUBLE or kind == cnp.NPY_CDOUBLE:
            job.add = 8
        else:
            raise TypeError(f"no kernel adds blocks of {out.dtype}")
    for i in range(ndim):
        axes[i].x_extent = cnp.PyArray_DIM(out, i)
        axes[i].x_stride = cnp.PyArray_STRIDE(out, i)
        axes[i].out_stride = cnp.PyArray_STRIDE(blocks, i + 1)
        skips[i] = skip[i]
        counts[i] = count[i]
        if skips[i] < 0 or counts[i] < 0 or skips[i] + counts[i] > cnp.PyArray_DIM(blocks, i + 1):
            raise ValueError("skip and count must lie inside the blocks")
    job.axes = axes
    job.axis_count = ndim
    job.unit = cnp.PyArray_ITEMSIZE(out)
    job.skip = skips
    job.count = counts
    cdef char* target = <char*>cnp.PyArray_DATA(out)
    cdef const char* block = <const char*>cnp.PyArray_DATA(blocks)
    cdef const ptrdiff_t* start = <const ptrdiff_t*>cnp.PyArray_DATA(starts)
    cdef ptrdiff_t b, block_count = cnp.PyArray_DIM(blocks, 0)
    cdef ptrdiff_t stride = cnp.PyArray_STRIDE(blocks, 0)
    with nogil:
        for b in range(block_count):
            scatter_block(&job, 0, start + b * ndim, target, block + b * stride)


# --- spectra --------------------------------------------------------------------------------------

cdef int scalar_bytes(cnp.ndarray a) except -1:
    # Of float32, float64 and their complex kinds.
    cdef int kind = cnp.PyArray_TYPE(a)
    if kind == cnp.NPY_FLOAT or kind == cnp.NPY_CFLOAT:
        return 4
    if kind == cnp.NPY_DOUBLE or kind == cnp.NPY_CDOUBLE:
        return 8
    raise TypeError(f"no kernel passes over {a.dtype}")


def multiply_spectrum(cnp.ndarray a, cnp.ndarray b):
    """Multiply each of a's leading rows by b, in place; C-contiguous complex64 or complex128."""
    cdef const SpectrumSet* spectrum = &levels().used.spectrum
    cdef int scalar = scalar_bytes(a)
    cdef void* to = cnp.PyArray_DATA(a)
    cdef const void* by = cnp.PyArray_DATA(b)
    cdef ptrdiff_t rows, count = b.size
    if cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b) or cnp.PyArray_ITEMSIZE(a) == scalar:
        raise TypeError(f"no kernel multiplies {a.dtype} by {b.dtype}")
    if not cnp.PyArray_ISCARRAY(a) or not cnp.PyArray_ISCARRAY_RO(b) or a.size % max(count, 1):
        raise ValueError("a and b must be contiguous, and a must hold whole rows of b's size")
    rows = a.size // max(count, 1)
    with nogil:
        if scalar == 4:
            spectrum.multiply_f32(<float*>to, <const float*>by, rows, count)
        else:
            spectrum.multiply_f64(<double*>to, <const double*>by, rows, count)


def zero_nonfinite(cnp.ndarray a):
    """Replace NaN and Inf by zero in place and return how many there were; C-contiguous floats."""
    cdef const SpectrumSet* spectrum = &levels().used.spectrum
    cdef int scalar = scalar_bytes(a)
    cdef void* data = cnp.PyArray_DATA(a)
    cdef ptrdiff_t found, count = a.size * (cnp.PyArray_ITEMSIZE(a) // scalar)
    if not cnp.PyArray_ISCARRAY(a):
        raise ValueError("a must be contiguous")
    with nogil:
        if scalar == 4:
            found = spectrum.zero_nonfinite_f32(<float*>data, count)
        else:
            found = spectrum.zero_nonfinite_f64(<double*>data, count)
    return found


cdef struct FiniteJob:
    const char* data
    ptrdiff_t count
    int scalar
    bint* finite    # one a thread


cdef enum:
    PIECE = 16384   # scalars that are looked at at once


cdef void finite_range(void* context, ptrdiff_t first, ptrdiff_t last, int thread) noexcept nogil:
    cdef FiniteJob* job = <FiniteJob*>context
    cdef const SpectrumSet* spectrum = &levels().used.spectrum
    cdef ptrdiff_t start = first * PIECE, stop = min(last * PIECE, job.count)
    cdef const char* at = job.data + start * job.scalar
    cdef bint finite
    if job.scalar == 4:
        finite = spectrum.all_finite_f32(<const float*>at, stop - start)
    else:
        finite = spectrum.all_finite_f64(<const double*>at, stop - start)
    if not finite:
        job.finite[thread] = False


def all_finite(cnp.ndarray a, int threads=1):
    """Whether no element is NaN or Inf; C-contiguous floats or complex numbers."""
    cdef FiniteJob job
    cdef int i
    job.scalar = scalar_bytes(a)
    job.data = <const char*>cnp.PyArray_DATA(a)
    job.count = a.size * (cnp.PyArray_ITEMSIZE(a) // job.scalar)
    if not cnp.PyArray_ISCARRAY_RO(a):
        raise ValueError("a must be contiguous")
    threads = max(threads, 1)
    job.finite = <bint*>PyMem_Malloc(threads * sizeof(bint))
    if job.finite == NULL:
        raise MemoryError
    for i in range(threads):
        job.finite[i] = True
    with nogil:
        parallel_for((job.count + PIECE - 1) // PIECE, threads, finite_range, &job)
    finite = True
    for i in range(threads):
        finite = finite and job.finite[i]
    PyMem_Free(job.finite)
    return finite


# --- what was built -------------------------------------------------------------------------------

def isa_built():
    """Names of the ISA levels in this build, slowest first."""
    return tuple([levels().level[i].name.decode() for i in range(levels().count)])


def isa_usable():
    """Names of the ISA levels that this CPU can run, slowest first."""
    return tuple([levels().level[i].name.decode() for i in range(levels().count)
                  if levels().usable[i]])


def vector_bytes():
    """Bytes of a vector of the ISA level in use."""
    return levels().used.products_f32.vector_bytes


def isa_used():
    """Name of the ISA level in use (FASTCONV_MAX_ISA caps it, when the module is imported)."""
    return levels().used.name.decode()


def compiler():
    """The C++ compiler of the build."""
    return FASTCONV_COMPILER.decode()


levels()


# --- layers ---------------------------------------------------------------------------------------

FORM_CHANNELS, FORM_GRADIENTS, FORM_DEPTHWISE, FORM_DOTS, FORM_WINOGRAD = range(5)


def solve_layer(cnp.ndarray x, cnp.ndarray w, cnp.ndarray out, offset, stride, dilation,
                cnp.ndarray bias=None, int activation=0, double x_zero=0, int form=0,
                int threads=1):
    """
    Solve a layer: sums over channels and taps, then a bias and an activation.

    Parameters
    ----------
    x : ndarray, (N, G, C, d1, d2, d3)
        float32, float64, complex64, complex128, int8 or uint8, with any strides; not empty.
    w : ndarray, (G, O, C, k1, k2, k3)
        Of the computation's type: x's, or float32 for integers (differences of whole numbers below
        256); for complex x of the real type, (G, 2O, 2C, …) with [[re, -im], [im, re]] for each
        pair. Any strides.
    out : ndarray, (N, G, O, e1, e2, e3)
        Of x's dtype, or int32 for integers; with any strides.
    offset, stride, dilation : sequence of int
        One each for the last three axes.
    bias : ndarray, (G · O,), optional
        Of out's dtype, contiguous; twice as many of the real type for complex numbers.
    activation : int
        An `Activation`.
    x_zero : float
        Subtracted from integers.
    form : int
        FORM_CHANNELS, FORM_GRADIENTS, FORM_DEPTHWISE for one channel a group, FORM_DOTS, or
        FORM_WINOGRAD with w from `winograd_weights`: see layers.hpp.
    threads : int
        The most threads to use.

    Returns
    -------
    bool
        False where FORM_WINOGRAD met a NaN or Inf: then `out` does not hold the results.

    Raises
    ------
    MemoryError
        If no scratch can be had.
    ValueError
        If the arrays do not fit each other.
    TypeError
        If no kernel knows the dtypes.
    """
    cdef Layer job
    cdef LayerAxis* axis
    cdef Status status
    cdef int i
    if cnp.PyArray_NDIM(x) != 6 or cnp.PyArray_NDIM(w) != 6 or cnp.PyArray_NDIM(out) != 6:
        raise ValueError("x, w and out must have six axes")
    if x.size == 0 or w.size == 0 or out.size == 0:
        raise ValueError("x, w and out must not be empty")
    cdef int x_type = cnp.PyArray_TYPE(x), out_type = cnp.PyArray_TYPE(out)
    job.parts = 2 if x_type == cnp.NPY_CFLOAT or x_type == cnp.NPY_CDOUBLE else 1
    if x_type == cnp.NPY_DOUBLE or x_type == cnp.NPY_CDOUBLE:
        job.type, job.x_type, job.out_type = FLOAT64, STORED_FLOAT64, STORED_FLOAT64
    elif x_type == cnp.NPY_FLOAT or x_type == cnp.NPY_CFLOAT:
        job.type, job.x_type, job.out_type = FLOAT32, STORED_FLOAT32, STORED_FLOAT32
    else:
        job.type, job.x_type, job.out_type = FLOAT32, storage_type_of(x), STORED_INT32
        if job.x_type != STORED_INT8 and job.x_type != STORED_UINT8:
            raise TypeError(f"no kernel of layers for x of {x.dtype}")
    if element_type_of(w) != job.type or (
            out_type != x_type if job.out_type != STORED_INT32
            else storage_type_of(out) != STORED_INT32):
        raise TypeError(f"no kernel of layers for x {x.dtype}, w {w.dtype} and out {out.dtype}")
    job.batch, job.groups = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    job.channels, job.outputs = cnp.PyArray_DIM(w, 2), cnp.PyArray_DIM(w, 1)
    if (job.channels != job.parts * cnp.PyArray_DIM(x, 2)
            or job.outputs != job.parts * cnp.PyArray_DIM(out, 2)
            or cnp.PyArray_DIM(w, 0) != job.groups or cnp.PyArray_DIM(out, 1) != job.groups
            or cnp.PyArray_DIM(out, 0) != job.batch):
        raise ValueError("batch, groups or channels of x, w and out differ")
    if bias is not None and bias.size != job.groups * job.outputs:
        raise ValueError("bias must hold one number for each output channel")
    job.x_batch, job.x_group, job.x_channel = x.strides[0], x.strides[1], x.strides[2]
    job.w_group, job.w_output, job.w_channel = w.strides[0], w.strides[1], w.strides[2]
    job.out_batch, job.out_group, job.out_output = out.strides[0], out.strides[1], out.strides[2]
    for i in range(3):
        axis = &job.axes[i]
        axis.x_extent = cnp.PyArray_DIM(x, 3 + i)
        axis.x_stride = cnp.PyArray_STRIDE(x, 3 + i)
        axis.taps = cnp.PyArray_DIM(w, 3 + i)
        axis.w_stride = cnp.PyArray_STRIDE(w, 3 + i)
        axis.out_extent = cnp.PyArray_DIM(out, 3 + i)
        axis.out_stride = cnp.PyArray_STRIDE(out, 3 + i)
        axis.offset = offset[i]
        axis.stride = stride[i]
        axis.dilation = dilation[i]
    job.x = <const char*>cnp.PyArray_DATA(x)
    job.w = <const char*>cnp.PyArray_DATA(w)
    job.out = <char*>cnp.PyArray_DATA(out)
    job.bias = NULL
    if bias is not None:
        job.bias = <const char*>cnp.PyArray_DATA(bias)
    job.activation = <LayerActivation>activation
    job.x_zero = x_zero
    with nogil:
        status = c_solve_layer(job, <LayerForm>form, threads)
    if status == Status.no_memory:
        raise MemoryError("no memory for the scratch of a layer")
    return status == Status.ok


# Multiply-adds up to which a layer takes the fast road, and images of its output (of each group and
# depth apart): all methods but `channels` take longer for it, and no thread pays.
cdef enum:
    SHORT_LAYER_MACS = 1 << 16
    SHORT_LAYER_PLANES = 16
    # Output channels of a group up to which `channels` sums each by itself.
    FEW_OUTPUTS = 3

cdef tuple channels_first = (None, "NCW", "NCHW", "NCDHW")


cdef bint plain_numbers(object value, int rank, long least, ptrdiff_t* numbers) except -1:
    # Read one int for all axes or a tuple of one an axis, each in [least, 2^31): or return False.
    cdef int i, overflow
    cdef long number
    cdef bint each = type(value) is tuple
    if each and len(<tuple>value) != rank:
        return False
    for i in range(rank):
        entry = (<tuple>value)[i] if each else value
        if type(entry) is not int:
            return False
        number = PyLong_AsLongAndOverflow(entry, &overflow)
        if overflow or not least <= number <= 0x7fffffff:
            return False
        numbers[i] = number
    return True


cdef inline bint plain_zero(object value):
    return type(value) is int and value == 0


def short_layer(int rank, x, w, bias, stride, padding, dilation, groups, layout, activation,
                flip_kernel, x_zero_point, w_zero_point, out, method):
    """
    Solve a small layer over `rank` axes where there is nothing to choose, or return None.

    The fast road of small layers: plain contiguous float32 or float64 arrays of one dtype with
    channels first, numbers that are plain integers, no activation but ReLU, a new result. It gives
    the bits of the method `channels`. Everything else, and every error, is the long road's.
    """
    cdef cnp.ndarray data, weights, given, result
    cdef Layer job
    cdef LayerAxis* axis
    cdef cnp.npy_intp[5] extents
    cdef ptrdiff_t[3] strides, before, dilations
    cdef ptrdiff_t[1] group_count
    cdef ptrdiff_t channels, outputs, room, item, x_stride, w_stride, out_stride
    cdef ptrdiff_t taps = 1, points = 1, macs
    cdef const SpectrumSet* spectrum
    cdef Status status
    cdef LayerForm form
    cdef int i, ndim, kind
    cdef bint padded = False
    if (out is not None or not cnp.PyArray_CheckExact(x) or not cnp.PyArray_CheckExact(w)
            or type(method) is not str or method != "auto" or flip_kernel is not False
            or not plain_zero(x_zero_point) or not plain_zero(w_zero_point)
            or not (layout is None or type(layout) is str and layout == channels_first[rank])):
        return None
    if activation is None:
        job.activation = LayerActivation.none
    elif type(activation) is str and activation == "relu":
        job.activation = LayerActivation.relu
    else:
        return None
    data, weights = <cnp.ndarray>x, <cnp.ndarray>w
    ndim, kind = cnp.PyArray_NDIM(data), cnp.PyArray_TYPE(data)
    if ((kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE) or cnp.PyArray_TYPE(weights) != kind
            or (ndim != rank + 1 and ndim != rank + 2) or cnp.PyArray_NDIM(weights) != rank + 2
            or not cnp.PyArray_ISCARRAY_RO(data) or not cnp.PyArray_ISCARRAY_RO(weights)
            or not plain_numbers(stride, rank, 1, strides)
            or not plain_numbers(padding, rank, 0, before)
            or not plain_numbers(dilation, rank, 1, dilations)
            or type(groups) is not int or not plain_numbers(groups, 1, 1, group_count)):
        return None
    job.batch = cnp.PyArray_DIM(data, 0) if ndim == rank + 2 else 1
    job.groups = group_count[0]
    channels, outputs = cnp.PyArray_DIM(data, ndim - rank - 1), cnp.PyArray_DIM(weights, 0)
    job.channels = cnp.PyArray_DIM(weights, 1)
    if (job.batch == 0 or outputs == 0 or channels == 0 or outputs % job.groups != 0
            or channels % job.groups != 0 or channels // job.groups != job.channels):
        return None
    job.outputs = outputs // job.groups
    # Strides in bytes, from the last axis on; what comes before the axes there are has one index.
    item = x_stride = w_stride = out_stride = cnp.PyArray_ITEMSIZE(data)
    for i in range(2, -1, -1):
        axis = &job.axes[i]
        axis.x_extent = axis.taps = axis.out_extent = axis.stride = axis.dilation = 1
        axis.offset = 0
        if i >= 3 - rank:
            axis.x_extent = cnp.PyArray_DIM(data, ndim - 3 + i)
            axis.taps = cnp.PyArray_DIM(weights, rank - 1 + i)
            axis.stride, axis.dilation = strides[i - 3 + rank], dilations[i - 3 + rank]
            axis.offset = -before[i - 3 + rank]
            padded = padded or axis.offset < 0
            if axis.taps > SHORT_LAYER_MACS:
                return None
            room = axis.x_extent - 2 * axis.offset - axis.dilation * (axis.taps - 1) - 1
            if room < 0 or axis.taps == 0 or axis.x_extent == 0:
                return None
            axis.out_extent = room // axis.stride + 1
            extents[ndim - 3 + i] = axis.out_extent
        axis.x_stride, axis.w_stride, axis.out_stride = x_stride, w_stride, out_stride
        x_stride *= axis.x_extent
        w_stride *= axis.taps
        out_stride *= axis.out_extent
        taps *= axis.taps
        points *= axis.out_extent
        if taps > SHORT_LAYER_MACS or points > SHORT_LAYER_MACS:
            return None
    # More taps than outputs are summed by forms that the method chooses.
    if (taps > points or job.batch * job.groups * job.axes[0].out_extent > SHORT_LAYER_PLANES
            or job.channels > SHORT_LAYER_MACS or outputs > SHORT_LAYER_MACS):
        return None
    macs = outputs * job.channels
    if macs > SHORT_LAYER_MACS or points * taps > SHORT_LAYER_MACS:
        return None
    macs *= job.batch * points * taps
    if macs > SHORT_LAYER_MACS:
        return None
    job.bias = NULL
    if bias is not None:
        if not cnp.PyArray_CheckExact(bias):
            return None
        given = <cnp.ndarray>bias
        if (cnp.PyArray_TYPE(given) != kind or cnp.PyArray_NDIM(given) != 1
                or cnp.PyArray_DIM(given, 0) != outputs or not cnp.PyArray_ISCARRAY_RO(given)):
            return None
        job.bias = <const char*>cnp.PyArray_DATA(given)
    job.x = <const char*>cnp.PyArray_DATA(data)
    job.w = <const char*>cnp.PyArray_DATA(weights)
    if padded:
        # A tap that is not finite must not meet the zeros beyond an edge.
        spectrum = &levels().used.spectrum
        if not (spectrum.all_finite_f32(<const float*>job.w, cnp.PyArray_SIZE(weights))
                if kind == cnp.NPY_FLOAT
                else spectrum.all_finite_f64(<const double*>job.w, cnp.PyArray_SIZE(weights))):
            return None
    extents[0] = job.batch
    extents[ndim - rank - 1] = outputs
    result = <cnp.ndarray>cnp.PyArray_SimpleNew(ndim, extents, kind)
    job.out = <char*>cnp.PyArray_DATA(result)
    job.type = FLOAT32 if kind == cnp.NPY_FLOAT else FLOAT64
    job.x_type = job.out_type = STORED_FLOAT32 if kind == cnp.NPY_FLOAT else STORED_FLOAT64
    job.parts = 1
    job.x_channel, job.x_group, job.x_batch = x_stride, job.channels * x_stride, channels * x_stride
    job.w_channel, job.w_output = w_stride, job.channels * w_stride
    job.w_group = job.outputs * job.w_output
    job.out_output, job.out_group = out_stride, job.outputs * out_stride
    job.out_batch = outputs * out_stride
    job.x_zero = 0
    form = LayerForm.channels
    if job.channels == 1 and job.outputs <= FEW_OUTPUTS:
        form = LayerForm.depthwise
    if macs <= GIL_MACS:
        status = c_solve_layer(job, form, 1)
    else:
        with nogil:
            status = c_solve_layer(job, form, 1)
    return result if status == Status.ok else None


def winograd_weights(cnp.ndarray w, int threads=1):
    """
    Transform kernels of 3 x 3 taps for FORM_WINOGRAD.

    Parameters
    ----------
    w : ndarray, (G, O, C, 1, 3, 3)
        float32 or float64, with any strides; not empty.
    threads : int
        The most threads to use.

    Returns
    -------
    ndarray, (G, O, C, 1, 4, 4)
        In an order of its own: along output channels or channels, as w.

    Raises
    ------
    MemoryError
        If no scratch can be had.
    """
    import numpy as np
    cdef WinogradWeights job
    cdef Status status = Status.ok
    cdef ptrdiff_t g, group_bytes
    groups, outputs, channels = w.shape[0], w.shape[1], w.shape[2]
    job.type = element_type_of(w)
    along_outputs = abs(w.strides[1]) < abs(w.strides[2])
    job.lines, job.count = (channels, outputs) if along_outputs else (outputs, channels)
    job.line_stride = w.strides[2 if along_outputs else 1]
    job.kernel_stride = w.strides[1 if along_outputs else 2]
    job.row_stride, job.column_stride = w.strides[4], w.strides[5]
    cdef cnp.ndarray made = np.empty((groups, 16, job.lines, job.count), w.dtype)
    job.point_stride = made.strides[1]
    group_bytes = made.strides[0]
    for g in range(groups):
        job.taps = <const char*>cnp.PyArray_DATA(w) + g * <ptrdiff_t>w.strides[0]
        job.transformed = <char*>cnp.PyArray_DATA(made) + g * group_bytes
        with nogil:
            status = c_winograd_weights(job, threads)
        if status != Status.ok:
            raise MemoryError("no memory for the scratch of weights")
    points = made.reshape(groups, 1, 4, 4, job.lines, job.count)
    return points.transpose((0, 5, 4, 1, 2, 3) if along_outputs else (0, 4, 5, 1, 2, 3))


def layer_scratch(x, w, out, offset, stride, dilation, cnp.dtype dtype, bint exact, int form,
                  int threads):
    """
    Return the bytes of scratch that `solve_layer` takes for contiguous arrays of these shapes.

    Parameters
    ----------
    x, w, out : sequence of int
        Shapes as `solve_layer`'s; those of w and channels count parts of complex numbers.
    offset, stride, dilation, form, threads
        As `solve_layer`'s.
    dtype : dtype
        float32 or float64: of the computation.
    exact : bool
        Whether the results are int32.

    Raises
    ------
    MemoryError
        If there is no memory to plan it.
    """
    cdef Layer job
    cdef LayerAxis* axis
    cdef ptrdiff_t scratch, x_stride, out_stride
    cdef int i
    x_stride = out_stride = dtype.itemsize
    job.type = FLOAT32 if dtype.itemsize == 4 else FLOAT64
    job.x_type = job.out_type = STORED_FLOAT32 if dtype.itemsize == 4 else STORED_FLOAT64
    if exact:
        job.out_type = STORED_INT32
    job.parts = 1
    job.batch, job.groups, job.channels, job.outputs = x[0], x[1], w[2], w[1]
    job.x_batch = job.x_group = job.x_channel = 0
    job.w_group = job.w_output = job.w_channel = 0
    job.out_batch = job.out_group = job.out_output = 0
    for i in range(2, -1, -1):
        axis = &job.axes[i]
        axis.x_extent, axis.taps, axis.out_extent = x[3 + i], w[3 + i], out[3 + i]
        axis.x_stride, axis.w_stride, axis.out_stride = x_stride, 0, out_stride
        axis.offset, axis.stride, axis.dilation = offset[i], stride[i], dilation[i]
        x_stride *= axis.x_extent
        out_stride *= axis.out_extent
    job.x = job.w = job.bias = NULL
    job.out = NULL
    job.x_zero = 0
    job.activation = <LayerActivation>0
    with nogil:
        scratch = c_layer_scratch(job, <LayerForm>form, threads)
    if scratch < 0:
        raise MemoryError("no memory to plan a layer")
    return scratch


# --- matches of a template ------------------------------------------------------------------------

cdef int fill_image(MatchImage* image, cnp.ndarray x, ElementType type) except -1:
    # Describe an image or a volume, and return the number of axes that it lacks.
    cdef int i, ndim = cnp.PyArray_NDIM(x), lacking = MATCH_AXES - ndim
    if not 2 <= ndim <= MATCH_AXES or x.size == 0:
        raise ValueError("an image has two or three axes, and pixels")
    image.type = type
    image.stored = storage_type_of(x)
    if (type != FLOAT32 and type != FLOAT64) or image.stored == STORAGE_TYPES:
        raise TypeError(f"no kernel looks at pixels of {x.dtype}")
    if not cnp.PyArray_ISALIGNED(x) or not cnp.PyArray_ISNOTSWAPPED(x):
        raise ValueError("pixels must be aligned and in native byte order")
    for i in range(lacking):
        image.extents[i] = 1
        image.strides[i] = 0
    for i in range(ndim):
        image.extents[lacking + i] = cnp.PyArray_DIM(x, i)
        image.strides[lacking + i] = cnp.PyArray_STRIDE(x, i)
    image.x = <const char*>cnp.PyArray_DATA(x)
    return lacking


def look_at_image(cnp.ndarray x, dtype, int threads=1):
    """
    Look at the finite pixels of an image of a dtype that `is_stored`.

    Parameters
    ----------
    x : ndarray
        Two or three axes, any strides.
    dtype : dtype
        float32 or float64: what pixels become first.
    threads : int
        The most threads to use.

    Returns
    -------
    total, least, most : float
        Sum, minimum and maximum.
    count : int
        How many there are.
    """
    cdef MatchImage image
    cdef PixelSums sums
    cdef Status status
    fill_image(&image, x, element_types[dtype.num])
    with nogil:
        status = c_look_at_image(image, threads, &sums)
    if status != Status.ok:
        raise MemoryError("no memory for rows of pixels")
    return sums.sum, sums.least, sums.most, sums.count


def centre_image(cnp.ndarray x, cnp.ndarray out, double centre, double scale, int threads=1):
    """
    Fill out with (x - centre) · scale, and zero for NaN and Inf; return the sum of its squares.

    Parameters
    ----------
    x : ndarray
        As for `look_at_image`.
    out : ndarray
        C-contiguous float32 or float64 of x's shape.
    centre, scale : float
        The scale is a power of two.
    threads : int
        The most threads to use.
    """
    cdef MatchImage image
    cdef double squares = 0
    cdef Status status
    cdef char* to = <char*>cnp.PyArray_DATA(out)
    fill_image(&image, x, element_type_of(out))
    if not cnp.PyArray_ISCARRAY(out) or not cnp.PyArray_SAMESHAPE(x, out):
        raise ValueError("out must be contiguous and have x's shape")
    with nogil:
        status = c_centre_image(image, centre, scale, to, threads, &squares)
    if status != Status.ok:
        raise MemoryError("no memory for rows of pixels")
    return squares


cdef int fill_match(Match* match, taps, out, int lacking) except -1:
    cdef int i
    for i in range(lacking):
        match.taps[i] = match.out[i] = 1
        match.offset[i] = 0
    if len(taps) != MATCH_AXES - lacking or len(out) != MATCH_AXES - lacking:
        raise ValueError("taps and out must have an entry for each axis of the image")
    for i in range(MATCH_AXES - lacking):
        match.taps[lacking + i] = taps[i]
        match.out[lacking + i] = out[i]
        if taps[i] < 1 or out[i] < 1:
            raise ValueError("taps and out must be positive")
    return 0


def match_tile(taps, out):
    """Windows that `finish_match` takes as one tile, along each axis, for a template's extents."""
    cdef Match match
    cdef ptrdiff_t[3] tile
    cdef int i, lacking = MATCH_AXES - len(out)
    if not 0 <= lacking <= 1:
        raise ValueError("out must have two or three axes")
    fill_match(&match, taps, out, lacking)
    c_match_tile(match, tile)
    return tuple([tile[i] for i in range(lacking, MATCH_AXES)])


def finish_match(cnp.ndarray x, cnp.ndarray out, taps, offset, int boundary, cnp.ndarray fill,
                 double scale, double centre, double level, int measure, factors, int threads=1):
    """
    Turn numerators into how well a template matches each window: see template_sums.hpp.

    Parameters
    ----------
    x : ndarray
        The image, as for `look_at_image`.
    out : ndarray
        C-contiguous float32 or float64; holds sums of (x - centre) · scale times a template of norm
        one. Changed in place.
    taps, offset : sequence of int
        Extents of the template; where the first window begins. Windows reach beyond the image only
        where the boundary says what lies there.
    boundary : int
        A `Boundary`.
    fill : ndarray of size 1 or None
        The value beyond the edge for ``Boundary.CONSTANT``, of out's dtype.
    scale, centre : float
        What the numerators were made with.
    level : float
        From which pixels are counted in their sums: zero, or near to pixels that are alike.
    measure : int
        Number of the measure.
    factors : dict
        The floats of job.hpp's MatchFactors, but those that depend on the tile.
    threads : int
        The most threads to use.

    Returns
    -------
    ndarray
        For each tile (see `match_tile`), how many results rounding may have spoiled.
    """
    cdef Match match
    cdef Status status
    cdef int i, lacking
    cdef char* to = <char*>cnp.PyArray_DATA(out)
    cdef cnp.ndarray unsure
    lacking = fill_image(&match.image, x, element_type_of(out))
    if not cnp.PyArray_ISCARRAY(out) or cnp.PyArray_NDIM(out) != cnp.PyArray_NDIM(x):
        raise ValueError("out must be contiguous and have x's axes")
    if not 0 <= measure <= 5:
        raise ValueError("there is no such measure")
    shape = (<object>out).shape
    fill_match(&match, taps, shape, lacking)
    for i in range(MATCH_AXES - lacking):
        match.offset[lacking + i] = offset[i]
    match.boundary = <Boundary>boundary
    match.fill = NULL
    if fill is not None:
        if cnp.PyArray_TYPE(fill) != cnp.PyArray_TYPE(out):
            raise TypeError("fill must be of out's dtype")
        match.fill = <const char*>cnp.PyArray_DATA(fill)
    match.scale = scale
    match.centre = centre
    match.level = level
    match.factors.measure = <Measure>measure
    match.factors.pixels = factors["pixels"]
    match.factors.tilt = factors["tilt"]
    match.factors.of_product = factors["of_product"]
    match.factors.of_mean = factors["of_mean"]
    match.factors.of_all = factors["of_all"]
    match.factors.mean = factors["mean"]
    match.factors.norm = factors["norm"]
    match.factors.empty = factors["empty"]
    match.factors.flat = factors["flat"]
    match.factors.unsure = factors["unsure"]
    match.factors.floor = factors["floor"]
    tiles = [-(-n // t) for n, t in zip(shape, match_tile(taps, shape), strict=True)]
    import numpy as np
    unsure = np.zeros(tiles, np.intp)
    cdef ptrdiff_t* counts = <ptrdiff_t*>cnp.PyArray_DATA(unsure)
    with nogil:
        status = c_finish_match(match, to, threads, counts)
    if status != Status.ok:
        raise MemoryError("no memory for sums of windows")
    return unsure
