"""One process, several libraries with threads of their own: no crash, the same results.

fastconv takes turns with each of them, runs beside it in another thread, and works in a forked
child afterwards, whichever was imported first; nobody's settings are touched.
"""

import importlib.util
import textwrap

import pytest
from shell import python

# Each neighbour: its modules, and what it computes on threads of its own.
NEIGHBOURS = {
    "NumPy's BLAS": (
        ["numpy"],
        """
            a = numpy.random.default_rng(1).standard_normal((300, 300))
            def neighbour():
                return a @ a
            def told():
                return None
        """,
    ),
    "PyTorch": (
        ["torch"],
        """
            torch.manual_seed(1)
            x, w = torch.randn(1, 16, 56, 56), torch.randn(16, 16, 3, 3)
            def neighbour():
                with torch.no_grad():
                    y = torch.nn.functional.conv2d(x, w, padding=1)
                    return (y.sin() @ y.cos().mT).numpy()
            told = torch.get_num_threads
        """,
    ),
    "scikit-learn": (
        ["sklearn.metrics", "sklearn.cluster"],
        """
            import numpy
            points = numpy.random.default_rng(1).standard_normal((3_000, 8))
            def neighbour():
                nearest = sklearn.metrics.pairwise_distances_argmin(points, points[:64])
                means = sklearn.cluster.KMeans(4, n_init=1, max_iter=5, random_state=0)
                return numpy.concatenate([nearest, means.fit(points).labels_])
            def told():
                return None
        """,
    ),
    "pyFFTW": (
        ["pyfftw"],
        """
            import numpy
            a = pyfftw.empty_aligned((300, 310), "complex128")
            values = numpy.random.default_rng(1).standard_normal(a.shape)
            transform = pyfftw.builders.fft2(a, threads=2, planner_effort="FFTW_ESTIMATE")
            def neighbour():
                a[:] = values
                return transform().copy()
            told = lambda: (pyfftw.config.NUM_THREADS, pyfftw.config.PLANNER_EFFORT)
        """,
    ),
    "OpenCV": (
        ["cv2"],
        """
            import numpy
            image = numpy.random.default_rng(1).standard_normal((700, 710)).astype("float32")
            def neighbour():
                return cv2.GaussianBlur(image, (0, 0), 5)
            told = cv2.getNumThreads
        """,
    ),
}

# Methods that have bits of their own: no BLAS, whose threads are the neighbour's, too.
FASTCONV = """
    import hashlib
    import fastconv, fastconv.ndimage, fastconv.nn
    import numpy as np
    rng = np.random.default_rng(0)
    line, taps = rng.standard_normal(60_000), rng.standard_normal(700)
    picture, kernel = rng.standard_normal((300, 310)).astype("f"), rng.standard_normal((9, 9))
    layer = rng.standard_normal((1, 16, 40, 40)).astype("f")
    weights = rng.standard_normal((16, 16, 3, 3)).astype("f")

    def fast():
        results = [
            *(fastconv.convolve(line, taps, "same", m) for m in ("direct", "tilefft", "fft")),
            fastconv.convolve(picture, kernel.astype("f"), "same"),
            fastconv.ndimage.gaussian_filter(picture, 3),
            fastconv.nn.conv2d(layer, weights, padding=1, method="channels"),
            fastconv.match_template(picture, picture[50:80, 50:90]),
        ]
        return hashlib.sha256(b"".join(y.tobytes() for y in results)).hexdigest()
"""

TAKE_TURNS = """
    import threading
    import numpy as np

    def settings():
        pools = {}
        if threadpoolctl is not None:
            for pool in threadpoolctl.threadpool_info():
                pools[pool["filepath"]] = pool["num_threads"]
        return told(), dict(os.environ), pools

    expected, before = neighbour(), settings()

    def check():
        found = neighbour()
        assert found.shape == expected.shape
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-3)

    digests = set()
    for _ in range(6):
        digests.add(fast())
        check()
    # fastconv brings pyFFTW's libraries along at its first FFT, and changes none that was there.
    now = settings()
    assert now[:2] == before[:2]
    assert before[2].items() <= now[2].items()

    errors = []
    def in_another_thread():
        try:
            for _ in range(6):
                check()
        except BaseException as error:
            errors.append(error)
    other = threading.Thread(target=in_another_thread)
    other.start()
    for _ in range(6):
        digests.add(fast())
    other.join()
    assert not errors, errors
    digest, = digests

    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0 if fast() == digest else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert fast() == digest
    check()
    print(digest)
"""


@pytest.fixture(scope="module")
def alone():
    """What fastconv computes in a process of its own."""
    return python(FASTCONV, "print(fast())")


def _is_here(name):
    modules, _ = NEIGHBOURS[name]
    return all(importlib.util.find_spec(module.partition(".")[0]) for module in modules)


def _meet(name):
    """Return a program that imports a neighbour and leaves `neighbour` and `told`."""
    modules, work = NEIGHBOURS[name]
    body = [*(f"import {module}" for module in modules), textwrap.dedent(work)]
    body = textwrap.indent("\n".join([*body, "return neighbour, told"]), "    ")
    return f"def meet():\n{body}\nneighbour, told = meet()"


WATCH = """
    import os
    try:
        import threadpoolctl
    except ImportError:
        threadpoolctl = None
"""


@pytest.mark.parametrize("first", ["neighbour", "fastconv"])
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_in_turn_and_at_once(name, first, alone):
    if not _is_here(name):
        pytest.skip(f"{name} is missing")
    parts = [_meet(name), FASTCONV]
    if first == "fastconv":
        parts.reverse()
    assert python(*parts, WATCH, TAKE_TURNS, timeout=300) == alone


def test_all_of_them(alone):
    """Several OpenMP runtimes, BLAS libraries and pools in one process."""
    here = [name for name in NEIGHBOURS if _is_here(name)]
    if len(here) < 2:
        pytest.skip("there is no neighbour but NumPy")
    parts = ["neighbours = []"]
    for name in here:
        parts += [_meet(name), "neighbours.append(neighbour)"]
    take_turns = """
        digests = set()
        for _ in range(3):
            for neighbour in neighbours:
                neighbour()
                digests.add(fast())
        digest, = digests
        print(digest)
    """
    assert python(*parts, FASTCONV, take_turns, timeout=300) == alone
