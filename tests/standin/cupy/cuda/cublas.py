"""The products of matrices that cuBLAS forms, by their addresses and strides."""

import ctypes

import numpy as np

from cupy import _memory

CUBLAS_OP_N, CUBLAS_OP_T = 0, 1
CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_64F, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 70, 77
CUBLAS_GEMM_DEFAULT = -1

_TYPES = {0: "f", 1: "d", 4: "F", 5: "D"}
_COMPUTE = {"f": (68, 77), "d": (70,), "F": (68, 77), "D": (70,)}


class CUBLASError(RuntimeError):
    """A call that cuBLAS refuses."""


def _stack(address, dtype, rows, columns, pitch, step, count):
    """Matrices whose columns are dense."""
    if pitch < max(rows, 1):
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: lines overlap")
    if step < 0:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE: a negative stride")
    nbytes = ((count - 1) * step + (columns - 1) * pitch + rows) * dtype.itemsize
    if not any(m.holds(address) and m.holds(address + nbytes) for m in _memory._live):
        raise CUBLASError("matrices reach beyond their memory")
    memory = (ctypes.c_char * nbytes).from_address(address)
    strides = (step * dtype.itemsize, dtype.itemsize, pitch * dtype.itemsize)
    return np.ndarray((count, rows, columns), dtype, memory, strides=strides)


def _scale(address, dtype):
    """A number in the host's memory."""
    return np.frombuffer((ctypes.c_char * dtype.itemsize).from_address(address), dtype)[0]


def _cut(a):
    """Keep the digits that TF32 has."""
    return (a.view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


def gemmStridedBatchedEx(
    handle, transa, transb, m, n, k, alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta, C,
    Ctype, ldc, strideC, batchCount, computeType, algo,
):  # fmt: skip
    dtype = np.dtype(_TYPES[Ctype])
    if not (Atype == Btype == Ctype) or computeType not in _COMPUTE[dtype.char]:
        raise CUBLASError("CUBLAS_STATUS_NOT_SUPPORTED")
    if max(m, n, k, lda, ldb, ldc, batchCount) >= 2**31 or min(m, n, k, batchCount) < 1:
        raise CUBLASError("CUBLAS_STATUS_INVALID_VALUE")
    a = _stack(A, dtype, *((k, m) if transa else (m, k)), lda, strideA, batchCount)
    b = _stack(B, dtype, *((n, k) if transb else (k, n)), ldb, strideB, batchCount)
    c = _stack(C, dtype, m, n, ldc, strideC, batchCount)
    if batchCount > 1 and strideC < (n - 1) * ldc + m and strideC * batchCount > ldc:
        raise CUBLASError("the products overlap")
    factors = [f.transpose(0, 2, 1) if t else f for f, t in ((a, transa), (b, transb))]
    if computeType == CUBLAS_COMPUTE_32F_FAST_TF32:
        factors = [_cut(np.ascontiguousarray(f)) for f in factors]
    scale, kept = (_scale(address, dtype) for address in (alpha, beta))
    with np.errstate(all="ignore"):
        products = scale * np.matmul(*factors)
        c[...] = products + kept * c if kept else products
