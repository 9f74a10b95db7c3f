#!/usr/bin/env bash
# Measures a cross-section of the suites at every milestone, for asv's pages; whatever is given
# goes to `asv run`. The rest, which was never measured, is left out of the pages. A wheel takes
# minutes to build, once for each commit; the points take some two minutes a commit.
set -euo pipefail
cd "$(dirname "$0")"
choose() { # PATTERN of "suite.Class.method(values)"
    chosen+=(--bench "^bench_$1")
}
choose "calls\.SmallCalls\.time_convolve\(.*'(256 by 9|16 by 3)'"
choose "calls\.Plans\."
choose "images\.Images\..*'float32', (3|7|15|63)\)"
choose "images\.Volumes\..*, (3|9)\)"
choose "signals\.LongSignals\..*'float32', (15|101|1001)\)"
choose "transforms\.LongKernels\..*'float32', 100000\)"
choose "ndimage\.DenseKernels\..*, (3|7)\)"
choose "ndimage\.Gaussian\..*'1080×1920 float32', 3\)"
choose "ndimage\.SmallImages\..*'16×16 float32', 'correlate'"
choose "layers\.Forward\..*(ResNet-50 3×3, 64→64|depthwise 3×3, 96).*, 1\)"
choose "layers\.Gradients\..*ResNet-50 3×3, 64→64.*, 1\)"
choose "templates\.Templates\..*'1080×1920 float32', '64×96'"
choose "memory\.PeakMemoryOfImages\..*, 7\)"
choose "scipy_sets\.Convolve\.time_convolve\(.*'same'"
choose "scipy_sets\.Convolve2D\.time_convolve2d\(.*'same', 'symm'"
# On one core, whose time is what the suites take then, and by many short samples: other work on
# the machine falsifies little.
cut -d' ' -f1 milestones.txt |
    asv run HASHFILE:- "${chosen[@]}" --cpu-affinity 0 \
        -a rounds=1 -a warmup_time=0.05 -a sample_time=0.001 -a "repeat=(5,50,1.0)" "$@"
python3 measured.py
