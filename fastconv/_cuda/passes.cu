// Two passes over an image in one, along the columns and then along the rows, so that what stands
// between them never leaves the block.
//
// X, SUM, RESULT, CUT and SPARSE are as in filters.cu; BETWEEN is what the sums of the first pass
// become before the second takes them.
#include "common.cuh"
#include "tiles.cuh"

// Threads that share a line of the first pass.
constexpr int SEGMENTS = COLUMNS / OUTPUTS;
// Lines between the passes have a gap, so that those who write them spread over all banks.
constexpr int PITCH = COLUMNS + 1;

// A tile of ROWS × COLUMNS outputs in one plane. Beyond the edges the second pass meets what the
// boundary makes of the first one's results: for a fixed value that value, else what the first pass
// gives for the extended data, which is the same.
extern "C" __global__ void __launch_bounds__(THREADS, 2) two_passes(const Filter p) {
  if (stays_idle(p.only_if)) return;
  DYNAMIC_SHARED(memory);
  const Tile t = tile_of(p);
  const SUM outside = element_of<SUM>(p.fill);
  const Index row = t.row + p.offset[1];

  const int tall = p.taps[1], wide = p.taps[2];
  const int rows = ROWS + tall - 1, columns = COLUMNS + wide - 1, pitch = with_gaps(columns) + 1;
  SUM* row_taps = (SUM*)memory;
  SUM* column_taps = row_taps + (tall + PACK - 1) / PACK * PACK;
  SUM* tile = column_taps + (wide + PACK - 1) / PACK * PACK;
  SUM* between = tile + rows * pitch;

  for (int k = threadIdx.x; k < tall; k += THREADS) row_taps[k] = ((const SUM*)p.w_rows)[k];
  for (int k = threadIdx.x; k < wide; k += THREADS) column_taps[k] = t.at.w[k];
  stage(p, t.at.x, t.plane, row, t.column + p.offset[2], rows, columns,
        [=](int r, int c) { return tile + r * pitch + with_gaps(c); });
  __syncthreads();

  for (int i = threadIdx.x; i < rows * SEGMENTS; i += THREADS) {
    const int r = i / SEGMENTS, start = i % SEGMENTS * OUTPUTS;
    SUM sums[OUTPUTS] = {};
    const bool inside = source_of(row + r, p.extent[1], p.boundary) >= 0;
    if (inside) sum_taps(sums, column_taps, wide, LineWindow{tile + r * pitch + with_gaps(start)});
#pragma unroll
    for (int s = 0; s < OUTPUTS; s++) {
      const BETWEEN passed = Stored<BETWEEN, CUT>::of(divided(sums[s], p.divisor));
      between[r * PITCH + start + s] = inside ? convert<SUM>(passed) : outside;
    }
  }
  __syncthreads();

  SUM sums[OUTPUTS] = {};
  sum_taps(sums, row_taps, tall, ColumnWindow{between + t.y * PITCH + t.x, PITCH});
  put(p, t, sums, p.divisor_rows);
}
