"""
Convolution as fast as the machine allows, under the names of SciPy and NumPy.

Examples
--------
>>> import fastconv
>>> fastconv.convolve([1.0, 2.0, 3.0], [1.0, 1.0])
array([1., 3., 5., 3.])
"""

from fastconv import ndimage, nn, numpy, signal
from fastconv._calibrate import Calibration, calibrate
from fastconv._config import __version__, config, show_config
from fastconv._patch import PatchReport, patch_scipy, patched, unpatch_scipy
from fastconv._plan import Explanation, Plan, explain, plan
from fastconv._problem import Spec
from fastconv._threads import get_num_threads, num_threads, set_num_threads
from fastconv.signal import (
    choose_conv_method,
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    correlation_lags,
    fftconvolve,
    oaconvolve,
    sepfir2d,
)
from fastconv.template import match_template

__all__ = [
    "convolve",
    "correlate",
    "fftconvolve",
    "oaconvolve",
    "convolve2d",
    "correlate2d",
    "sepfir2d",
    "choose_conv_method",
    "correlation_lags",
    "match_template",
    "signal",
    "ndimage",
    "numpy",
    "nn",
    "plan",
    "explain",
    "Plan",
    "Explanation",
    "Spec",
    "patch_scipy",
    "unpatch_scipy",
    "patched",
    "PatchReport",
    "get_num_threads",
    "set_num_threads",
    "num_threads",
    "calibrate",
    "Calibration",
    "config",
    "show_config",
    "__version__",
]
