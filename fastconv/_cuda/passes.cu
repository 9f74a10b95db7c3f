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
extern "C" __global__ void __launch_bounds__(THREADS) two_passes(const Filter p) {
  if (stays_idle(p.only_if)) return;
  DYNAMIC_SHARED(memory);
  Index block = blockIdx.x;
  const Index first_column = block % p.tiles[1] * COLUMNS;
  block /= p.tiles[1];
  const Index first_row = block % p.tiles[0] * ROWS;
  block /= p.tiles[0];
  const Index plane = block % p.outputs[0];
  const Origin at = origin_of(p, block / p.outputs[0]);
  const int tx = threadIdx.x % COLUMNS, ty = threadIdx.x / COLUMNS;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const SUM outside = element_of<SUM>(p.fill[0], p.fill[1]);

  const int tall = p.taps[1], wide = p.taps[2];
  const int rows = ROWS + tall - 1, columns = COLUMNS + wide - 1, pitch = with_gaps(columns) + 1;
  SUM* row_taps = (SUM*)memory;
  SUM* column_taps = row_taps + (tall + PACK - 1) / PACK * PACK;
  SUM* tile = column_taps + (wide + PACK - 1) / PACK * PACK;
  SUM* between = tile + rows * pitch;

  for (int k = threadIdx.x; k < tall; k += THREADS) row_taps[k] = ((const SUM*)p.w_rows)[k];
  for (int k = threadIdx.x; k < wide; k += THREADS) column_taps[k] = at.w[k];
  for (int c = lane; c < columns; c += 32) {
    const Index column = source_of(first_column + c + p.offset[2], p.extent[2], p.boundary);
    const X* from = at.x + column * p.x_stride[2] + plane * p.x_stride[0];
#pragma unroll 4
    for (int r = warp; r < rows; r += THREADS / 32) {
      const Index row = source_of(first_row + r + p.offset[1], p.extent[1], p.boundary);
      tile[r * pitch + with_gaps(c)] =
          column >= 0 && row >= 0 ? convert<SUM>(from[row * p.x_stride[1]]) : outside;
    }
  }
  __syncthreads();

  for (int i = threadIdx.x; i < rows * SEGMENTS; i += THREADS) {
    const int r = i / SEGMENTS, start = i % SEGMENTS * OUTPUTS;
    SUM sums[OUTPUTS] = {};
    const bool inside = source_of(first_row + r + p.offset[1], p.extent[1], p.boundary) >= 0;
    if (inside) sum_taps(sums, column_taps, wide, LineWindow{tile + r * pitch + with_gaps(start)});
#pragma unroll
    for (int s = 0; s < OUTPUTS; s++) {
      const BETWEEN passed = Stored<BETWEEN, CUT>::of(divided(sums[s], p.divisor));
      between[r * PITCH + start + s] = inside ? convert<SUM>(passed) : outside;
    }
  }
  __syncthreads();

  SUM sums[OUTPUTS] = {};
  sum_taps(sums, row_taps, tall, ColumnWindow{between + ty * OUTPUTS * PITCH + tx, PITCH});
  const Index column = first_column + tx;
  if (column >= p.outputs[2]) return;
  RESULT* out = at.out + plane * p.out_stride[0] + column * p.out_stride[2];
#pragma unroll
  for (int r = 0; r < OUTPUTS; r++) {
    const Index row = first_row + ty * OUTPUTS + r;
    if (row < p.outputs[1]) store(out + row * p.out_stride[1], sums[r], p.divisor_rows);
  }
}
