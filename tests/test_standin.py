"""The stand-in for CuPy: it refuses what CuPy refuses, and finds what goes wrong on a GPU."""

import copy
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

SOURCE = r"""
struct Params {
  const float* x;
  float* y;
  int n;
  int extra;
};

#ifdef __CUDA_ARCH__
extern __shared__ __align__(16) unsigned char dynamic[];
#else
#define dynamic fastconv_emulated_shared()
#endif

template <class T, int N>
__device__ __forceinline__ T* table() {
  __shared__ T values[N];
  return values;
}

extern "C" __global__ void __launch_bounds__(64 * 4) total(const Params p) {
  float* part = table<float, 256>();
  float sum = 0.0f;
  for (int i = threadIdx.x + blockIdx.x * blockDim.x; i < p.n; i += blockDim.x * gridDim.x)
    sum += p.x[i];
  part[threadIdx.x] = sum;
  for (int half = blockDim.x / 2; half; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
  }
  if (threadIdx.x == 0) atomicAdd(p.y, part[0]);
}

// A matrix of n columns, in tiles of 8 x 8 with a column of padding.
extern "C" __global__ void transpose(const Params p) {
  auto* tile = reinterpret_cast<float(*)[9]>(dynamic);
  int i = blockIdx.y * 8 + threadIdx.y, j = blockIdx.x * 8 + threadIdx.x;
  if (i < p.n && j < p.n) tile[threadIdx.y][threadIdx.x] = p.x[i * p.n + j];
  __syncthreads();
  i = blockIdx.x * 8 + threadIdx.y, j = blockIdx.y * 8 + threadIdx.x;
  if (i < p.n && j < p.n) p.y[i * p.n + j] = tile[threadIdx.x][threadIdx.y];
}

extern "C" __global__ void reach_too_far(const Params p) {
  reinterpret_cast<float*>(dynamic)[int(threadIdx.x) + p.extra] = 1.0f;
}

extern "C" __global__ void index_too_large(const Params p) {
  __shared__ float fixed[32];
  fixed[threadIdx.x + p.extra] = 1.0f;
  p.y[0] = fixed[threadIdx.x];
}

extern "C" __global__ void no_barrier(const Params p) {
  __shared__ float values[256];
  values[threadIdx.x] = p.x[threadIdx.x];
  p.y[threadIdx.x] = values[(threadIdx.x + p.extra) % blockDim.x];
}

extern "C" __global__ void write(const Params p) { p.y[p.n] = 1.0f; }

extern "C" __global__ void unaligned(const Params p) {
  float4 four = *reinterpret_cast<const float4*>(p.x + p.extra);
  p.y[0] = four.x + four.w;
}

extern "C" __global__ void two_barriers(const Params p) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    p.y[0] = 1.0f;
    __syncthreads();
  }
}

extern "C" __global__ void waits_for_ever(const Params p) {
  if (threadIdx.x < 16) __syncwarp();
  else __syncthreads();
}

extern "C" __global__ void rounded_twice(const Params p) {
  p.y[0] = __fadd_rn(__fmul_rn(p.x[0], p.x[0]), -1.0f);
}

extern "C" __global__ void warps(const Params p) {
  float sum = p.x[threadIdx.x];
  for (int step = 16; step; step /= 2) sum += __shfl_down_sync(0xffffffff, sum, step);
  if (threadIdx.x % 32 == 0) p.y[threadIdx.x / 32] = sum;
}
"""
PARAMS = np.dtype([("x", "u8"), ("y", "u8"), ("n", "i4"), ("extra", "i4")])


@pytest.fixture(scope="module")
def cupy():
    """The stand-in; afterwards, nothing of it is left where it was not asked for."""
    if "cupy" in sys.modules:
        loaded = sys.modules["cupy"]
        if not hasattr(loaded, "_standin"):
            pytest.skip("CuPy itself is loaded")
        yield loaded
        return
    if shutil.which("g++") is None:
        pytest.skip("there is no g++ to compile kernels with")
    folder = str(Path(__file__).with_name("standin"))
    sys.path.insert(0, folder)
    import cupy

    yield cupy
    sys.path.remove(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cupy"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def module(cupy):
    return cupy.RawModule(code=SOURCE, options=("--std=c++17",))


@pytest.fixture
def run(cupy, module):
    """Launch a kernel: run(name, x, y, block, grid=..., n=..., extra=..., shared=...)."""

    def launch(name, x, y, block, grid=(1,), n=0, extra=0, shared=0):
        params = np.array((x.data.ptr, y.data.ptr, n, extra), PARAMS)
        module.get_function(name)(grid, block, (params,), shared_mem=shared)
        return y.get()

    return launch


def test_nothing_goes_to_the_host_or_comes_from_it_by_itself(cupy):
    a, host = cupy.ones((2, 3)), np.ones(3)
    for implicit in (
        lambda: np.asarray(a),
        lambda: a + host,
        lambda: host * a,
        lambda: np.add(a, host),
        lambda: np.dot(a, host),
        lambda: a.__setitem__(0, host),
        lambda: cupy.sum([1, 2]),
        lambda: cupy.where(a > 0, host, 0),
    ):
        with pytest.raises(TypeError):
            implicit()
    with pytest.raises(AttributeError):
        _ = a.flags.writeable
    for dtype in ("g", "O", "U1", "m8[s]", ">f4"):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            cupy.empty(2, dtype)


def test_numpys_functions_run_on_the_device(cupy):
    a = cupy.asarray(np.arange(6.0).reshape(2, 3)[:, ::-1])
    assert isinstance(np.conjugate(a), cupy.ndarray)
    assert isinstance(a.sum(), cupy.ndarray)
    assert a.sum().shape == ()
    assert float(np.linalg.norm(a)) == np.linalg.norm(a.get())
    assert cupy.fft.rfft(a.astype(cupy.float32)).dtype == np.complex64
    row = a[1]
    row[...] = 2 * row + np.float32(1)
    np.testing.assert_array_equal(a.get(), [[2, 1, 0], [11, 9, 7]])
    assert row.base is a
    assert a[0, 1].shape == ()
    assert cupy.may_share_memory(a.T, row)


def test_transforms_lie_in_memory_as_cufft_leaves_them(cupy, rng):
    a = rng.standard_normal((3, 4, 5, 6, 2))
    for axes in ((3, 4), (0, 1), (1, 2), (1, 2, 3, 4), (0, 4), (2,)):
        for ours, numpys in ((cupy.fft.fftn, np.fft.fftn), (cupy.fft.rfftn, np.fft.rfftn)):
            result = ours(cupy.asarray(a), axes=axes)
            np.testing.assert_allclose(result.get(), numpys(a, axes=axes), atol=1e-13)
            at_once = len(axes) in (2, 3) and axes in ((3, 4), (0, 1))
            last = axes[-2] if ours is cupy.fft.rfftn and len(axes) > 1 else axes[-1]
            assert result.flags.c_contiguous == (at_once or last == 4)
    line = cupy.asarray(a[0, 0, 0, :, 0])
    np.testing.assert_allclose(cupy.fft.irfft(cupy.fft.rfft(line), 6).get(), line.get())


def test_arrays_are_copied_and_pickled(cupy):
    a = cupy.arange(6, dtype=np.float32).reshape(2, 3)
    for same in (pickle.loads(pickle.dumps(a)), copy.copy(a), copy.deepcopy(a), a.copy()):
        assert isinstance(same, cupy.ndarray)
        assert not cupy.may_share_memory(a, same)
        np.testing.assert_array_equal(same.get(), a.get())


def test_devices_are_not_mixed(cupy):
    with cupy.cuda.Device(1):
        a = cupy.ones(3)
    assert a.device.id == 1
    assert a[1:].device.id == 1
    with pytest.raises(ValueError, match="must be same as the current device"):
        a + 1
    assert cupy.asarray(a).device.id == 0
    with a.device:
        assert (a + 1).device.id == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_blocks_with_barriers_and_shared_memory(cupy, run, rng, monkeypatch, reverse):
    monkeypatch.setattr(cupy._standin, "reverse_threads", reverse)
    x = rng.integers(-9, 9, 1000).astype(np.float32)
    total = run("total", cupy.asarray(x), cupy.zeros(1, "f"), (256,), grid=(3,), n=1000)
    assert total == x.sum()

    x = x[:400].reshape(20, 20)
    y = cupy.zeros((20, 20), "f")
    run("transpose", cupy.asarray(x), y, (8, 8), grid=(3, 3), n=20, shared=8 * 9 * 4)
    np.testing.assert_array_equal(y.get(), x.T)

    y = cupy.zeros(2, "f")
    run("warps", cupy.asarray(x), y, (64,))
    np.testing.assert_array_equal(y.get(), x.ravel()[:64].reshape(2, 32).sum(1))
    cupy._standin.check_guards()


def test_what_is_not_to_be_fused_is_not(cupy, run):
    x = np.float32(1 + 2.0**-13)
    y = run("rounded_twice", cupy.asarray([x], "f"), cupy.zeros(1, "f"), (1,))
    assert y[0] == x * x - np.float32(1)


def test_launches_are_recorded(cupy, run):
    cupy._standin.launches.clear()
    stream = cupy.cuda.Stream()
    with stream:
        run("write", cupy.empty(1), cupy.zeros(2, "f"), (1,))
    assert list(cupy._standin.launches) == [("write", 0, stream)]


@pytest.mark.parametrize(
    ("name", "message", "arguments"),
    [
        ("reach_too_far", "behind the 128 bytes", {"extra": 1, "shared": 128}),
        ("reach_too_far", "before dynamic shared memory", {"extra": -1, "shared": 128}),
        ("index_too_large", "index 32 is beyond", {"extra": 1}),
        ("unaligned", "not aligned", {"extra": 1}),
        ("two_barriers", "barrier of line", {"block": (64,)}),
        ("waits_for_ever", "waits for ever", {}),
    ],
)
def test_faults_are_found(cupy, run, name, message, arguments):
    x, y = cupy.ones(64, "f"), cupy.zeros(64, "f")
    with pytest.raises(cupy._standin.KernelFault, match=message):
        run(name, x, y, **({"block": (32,)} | arguments))
    run("total", x, y, (32,), n=64)


def test_a_missing_barrier_shows_in_one_of_the_orders(cupy, run, monkeypatch):
    x = cupy.arange(64, dtype=np.float32)
    for extra in (1, -1):
        wrong = []
        for reverse in (False, True):
            monkeypatch.setattr(cupy._standin, "reverse_threads", reverse)
            found = run("no_barrier", x, cupy.zeros(64, "f"), (64,), extra=64 + extra)
            wrong.append(not np.array_equal(found, np.roll(x.get(), -extra)))
        assert any(wrong)


@pytest.mark.parametrize("place", [-1, 6])
def test_a_write_beside_an_array_is_found(cupy, run, place):
    y = cupy.zeros(6, "f")
    run("write", y, y, (1,), n=0)
    cupy._standin.check_guards()
    run("write", y, y, (1,), n=place)
    with pytest.raises(AssertionError, match=r"bytes (before|behind) an allocation"):
        cupy._standin.check_guards()
    del y
    cupy._standin.check_guards()


def test_what_was_never_written_is_nan(cupy):
    assert cupy.isnan(cupy.empty((3, 3), "f")).all()
    assert cupy.isnan(cupy.empty((3, 3), "d")).all()


@pytest.mark.parametrize(
    "launch",
    [
        {"block": (1025,)},
        {"block": (512,)},  # beyond the kernel's launch bounds
        {"block": (1, 1, 65)},
        {"grid": (1, 65536)},
        {"shared": (48 << 10) + 1},
    ],
)
def test_launches_beyond_the_limits_are_refused(cupy, run, launch):
    x = cupy.zeros(1, "f")
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR"):
        run("total", x, x, **({"block": (32,)} | launch))


def test_more_shared_memory_must_be_asked_for(cupy, module):
    kernel = module.get_function("total")
    x = cupy.zeros(1, "f")
    params = (np.array((x.data.ptr, x.data.ptr, 1, 0), PARAMS),)
    kernel.max_dynamic_shared_size_bytes = 100 << 10
    kernel((1,), (32,), params, shared_mem=100 << 10)
    most = cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]
    with pytest.raises(cupy.cuda.driver.CUDADriverError):
        kernel.max_dynamic_shared_size_bytes = most + 1


def test_what_does_not_compile_says_why(cupy):
    broken = cupy.RawModule(code='extern "C" __global__ void f(const int p) { nothing; }')
    with pytest.raises(cupy.cuda.compiler.CompileException, match="nothing"):
        broken.get_function("f")
    unknown = cupy.RawModule(code=SOURCE, options=("--no-such-option",))
    with pytest.raises(cupy.cuda.compiler.CompileException, match="no-such-option"):
        unknown.get_function("write")
