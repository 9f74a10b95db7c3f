#!/usr/bin/env bash
# Measures a cross-section of the suites at every milestone, for asv's pages; whatever is given
# goes to `asv run`. A wheel takes minutes to build, once for each commit; the points take some
# two minutes a commit on a quiet machine.
set -euo pipefail
cd "$(dirname "$0")"
choose() { # PATTERN of "suite.Class.method(values)"
    chosen+=(--bench "^bench_$1")
}
choose "calls\.SmallCalls\.time_convolve"
choose "calls\.(Plans|Imports)\."
choose "images\.Images\..*'float32', (3|7|15|63)\)"
choose "images\.Volumes\..*, (3|9)\)"
choose "signals\.LongSignals\..*'float32', (15|101|1001)\)"
choose "signals\.Batches\..*'float32'"
choose "transforms\.LongKernels\..*'float32', (10000|100000)\)"
choose "ndimage\.DenseKernels\..*, (3|7|31)\)"
choose "ndimage\.Gaussian\..*'1080×1920 float32'"
choose "ndimage\.SmallImages\..*'16×16 float32', 'correlate'"
choose "layers\.Forward\..*(ResNet-50 3×3, 64→64|depthwise 3×3, 96).*, 1\)"
choose "layers\.Gradients\..*ResNet-50 3×3, 64→64.*, 1\)"
choose "templates\.Templates\..*'1080×1920 float32', '(64×96|8×8)'"
choose "memory\.PeakMemoryOfImages\."
choose "scipy_sets\.Convolve\.time_convolve\(.*'same'"
choose "scipy_sets\.Convolve2D\.time_convolve2d\(.*'same', 'symm'"
cut -d' ' -f1 milestones.txt |
    asv run HASHFILE:- "${chosen[@]}" "$@"
