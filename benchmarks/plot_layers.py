"""Time of layers of well-known networks: fastconv.nn, PyTorch and ONNX Runtime.

    pip install --group plot torch onnxruntime onnx      # pip 25.1 or later
    python benchmarks/plot_layers.py [--output layers.svg] [--rounds 5] [--json FILE]
    python benchmarks/plot_layers.py --from-json FILE [--output layers.png]

One image in float32, forward, back to the input and back to the weights: the layers that
suites/bench_layers.py calls trained. "Planned" holds its weights, as ONNX Runtime does.
_plots.py says how it is measured.
"""

import math
from functools import partial

import numpy as np
from _plots import Figure, Panel, Work, main
from suites._common import bind_layer, layer_arrays
from suites.bench_layers import LAYERS, TRAINED

LIBRARIES = {
    "fastconv": "fastconv",
    "planned": "fastconv planned",
    "torch": "torch",
    "onnxruntime": "onnxruntime",
}
TOLERANCE = 8  # c of c·eps·sqrt(products)·max|x|·max|w|, which each of two libraries may be off


def prepare(what, layer, libraries):
    x, w, bias, grad, numbers = layer_arrays(LAYERS[layer], 1)
    # Arrays of one shape hold the same numbers: their products would not cancel, and err far more.
    grad = np.ascontiguousarray(grad[:, :, ::-1])
    arrays = x, w, bias, grad, numbers
    calls = {}
    for library, implementation in LIBRARIES.items():
        if library not in libraries or (what != "forward" and library == "planned"):
            continue
        try:
            calls[library] = bind_layer(implementation, what, *arrays)
        except NotImplementedError:
            continue
    products = {
        "forward": math.prod(w.shape[1:]),
        "grad_input": math.prod(w.shape) / w.shape[1],
        "grad_weight": math.prod(grad.shape[2:]),
    }[what]
    tolerance = 2 * TOLERANCE * 2.0**-23 * math.sqrt(products) * 25  # of normal numbers up to five
    return Work(layer, calls, tolerance, x.size * w.size)


def milliseconds(layer):
    return 1e-3


FIGURE = Figure(
    name="layers",
    lines={
        "fastconv": "fastconv.nn",
        "planned": "fastconv, planned",
        "torch": "PyTorch",
        "onnxruntime": "ONNX Runtime",
    },
    panels={
        what: Panel(title, "", TRAINED, partial(prepare, what), milliseconds)
        for what, title in {
            "forward": "forward",
            "grad_input": "gradient of the input",
            "grad_weight": "gradient of the weights",
        }.items()
    },
    label="time, ms (less is better)",
    what="one image, float32",
    dots=True,
    extent=(10, 4.2),
)

if __name__ == "__main__":
    main(FIGURE, __doc__.partition("\n")[0])
