// Correlations of signals, images and volumes, by their sums of products.
//
// Compiled for the types of the elements: X of the data, SUM of taps and sums, RESULT of the result
// (see common.cuh for how one becomes the other). CUT cuts sums that become integers; SPARSE takes a
// tap that is zero for none at all. The taps are contiguous nowhere: strides lead to all arrays.
//
// A block holds the part of the data that its outputs read in shared memory, with its halo, so that
// the boundary is met by the loads alone. A thread sums several outputs that lie one behind the
// other: each element that it takes from shared memory serves as many products.
#include "common.cuh"

constexpr int THREADS = 256;
// Outputs of a thread, and taps for which it holds a window of data in registers.
constexpr int OUTPUTS = sizeof(SUM) <= 4 ? 8 : sizeof(SUM) <= 8 ? 4 : 2;
constexpr int STEP = 8;
// Taps that are read from shared memory at once.
constexpr int PACK = sizeof(SUM) < 2 ? STEP : 16 / sizeof(SUM);
// Columns of a block's tile of an image; the other threads stand below.
constexpr int COLUMNS = 64;
constexpr int ROWS = THREADS / COLUMNS * OUTPUTS;

struct __align__(PACK * sizeof(SUM)) Pack {
  SUM tap[PACK];
};

INLINE bool stays_idle(unsigned long long only_if) { return only_if && !*(const int*)only_if; }

INLINE void store(RESULT* out, SUM sum, double divisor) {
  *out = Stored<RESULT, CUT>::of(divided(sum, divisor));
}

// sums[r] += Σ_k taps[k] · window(k + r) for k below TAPS.
template <int TAPS, class Window>
INLINE void sum_step(SUM* sums, const Pack* packs, Window window) {
  SUM data[OUTPUTS + TAPS - 1];
#pragma unroll
  for (int i = 0; i < OUTPUTS + TAPS - 1; i++) data[i] = window(i);
#pragma unroll
  for (int k = 0; k < TAPS; k++) {
    const SUM tap = packs[k / PACK].tap[k % PACK];
    if (SPARSE && is_zero(tap)) continue;
#pragma unroll
    for (int r = 0; r < OUTPUTS; r++) add_product(sums[r], tap, data[k + r]);
  }
}

// The same for any number of taps; window.from(k) is the window k elements on, k a multiple of STEP.
template <class Window>
INLINE void sum_taps(SUM* sums, const SUM* taps, int count, Window window) {
  const Pack* packs = (const Pack*)taps;
  int k = 0;
  for (; k + STEP <= count; k += STEP) sum_step<STEP>(sums, packs + k / PACK, window.from(k));
  packs += k / PACK;
  const Window rest = window.from(k);
  switch (count - k) {
    case 1:
      sum_step<1>(sums, packs, rest);
      break;
    case 2:
      sum_step<2>(sums, packs, rest);
      break;
    case 3:
      sum_step<3>(sums, packs, rest);
      break;
    case 4:
      sum_step<4>(sums, packs, rest);
      break;
    case 5:
      sum_step<5>(sums, packs, rest);
      break;
    case 6:
      sum_step<6>(sums, packs, rest);
      break;
    case 7:
      sum_step<7>(sums, packs, rest);
      break;
  }
}

// Down a column of a tile.
struct ColumnWindow {
  const SUM* first;
  int pitch;
  INLINE SUM operator()(int i) const { return first[i * pitch]; }
  INLINE ColumnWindow from(int k) const { return {first + k * pitch, pitch}; }
};

// Along a line that has a gap behind every OUTPUTS elements: threads start that far apart, and would
// meet in the banks of shared memory.
INLINE int with_gaps(int i) { return i + i / OUTPUTS; }

struct LineWindow {
  const SUM* first;
  INLINE SUM operator()(int i) const { return first[with_gaps(i)]; }
  INLINE LineWindow from(int k) const { return {first + with_gaps(k)}; }
};

// Where the arrays of one index of the batch start.
struct Origin {
  const X* x;
  const SUM* w;
  RESULT* out;
};

INLINE Origin origin_of(const Filter& p, Index batch) {
  Origin o = {(const X*)p.x, (const SUM*)p.w, (RESULT*)p.out};
#pragma unroll
  for (int a = BATCH_AXES - 1; a >= 0; a--) {
    const Index i = batch % p.batch[a];
    batch /= p.batch[a];
    o.x += i * p.x_batch[a];
    o.w += i * p.w_batch[a];
    o.out += i * p.out_batch[a];
  }
  return o;
}

// --- images --------------------------------------------------------------------------------------

// A tile of ROWS × COLUMNS outputs in one plane; axes are planes, rows and columns. Neighbouring
// columns may be channels of one pixel: `group` of them.
extern "C" __global__ void __launch_bounds__(THREADS) image(const Filter p) {
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
  const int group = p.group;

  SUM sums[OUTPUTS] = {};
  for (int kz = 0; kz < p.taps[0]; kz++) {
    const Index z = source_of(plane + p.offset[0] + kz, p.extent[0], p.boundary);
    if (z < 0 && p.boundary == ZERO) continue;
    for (int ky0 = 0; ky0 < p.taps[1]; ky0 += p.chunk[0]) {
      const int tall = min(p.chunk[0], p.taps[1] - ky0), rows = ROWS + tall - 1;
      for (int kx0 = 0; kx0 < p.taps[2]; kx0 += p.chunk[1]) {
        const int wide = min(p.chunk[1], p.taps[2] - kx0), pitch = COLUMNS + (wide - 1) * group;
        const int packed = (tall + PACK - 1) / PACK * PACK;
        SUM* taps = (SUM*)memory;  // column by column
        SUM* tile = taps + packed * wide;

        bool infinite = false;
        for (int i = threadIdx.x; i < tall * wide; i += THREADS) {
          const int ky = i % tall, kx = i / tall;
          const SUM tap = at.w[kz * p.w_stride[0] + (ky0 + ky) * p.w_stride[1] +
                               (kx0 + kx) * p.w_stride[2]];
          taps[kx * packed + ky] = tap;
          infinite = infinite || !is_finite(tap);
        }
        for (int c = lane; c < pitch; c += 32) {
          const Index q = first_column + c + (p.offset[2] + kx0) * group;
          Index pixel = q / group;
          if (q < pixel * group) pixel--;
          const Index column = source_of(pixel, p.extent[2], p.boundary);
          const X* from = at.x + column * p.x_stride[2] + (q - pixel * group) * p.x_channel;
          from += z * p.x_stride[0];
          const bool inside = column >= 0 && z >= 0;
#pragma unroll 4
          for (int r = warp; r < rows; r += THREADS / 32) {
            const Index row =
                source_of(first_row + r + p.offset[1] + ky0, p.extent[1], p.boundary);
            tile[r * pitch + c] = inside && row >= 0
                                      ? convert<SUM>(from[row * p.x_stride[1]])
                                      : outside;
          }
        }
        // What lies beyond an edge of zeros meets no tap, not even an infinite one.
        const bool guarded = __syncthreads_or(infinite) && p.boundary == ZERO;
        const SUM* first = tile + ty * OUTPUTS * pitch + tx;
        if (!guarded) {
          for (int kx = 0; kx < wide; kx++)
            sum_taps(sums, taps + kx * packed, tall, ColumnWindow{first + kx * group, pitch});
        } else {
          const Index channel = (first_column + tx) / group + p.offset[2] + kx0;
          const Index row = first_row + ty * OUTPUTS + p.offset[1] + ky0;
          for (int kx = 0; kx < wide; kx++)
            for (int i = 0; i < OUTPUTS * tall; i++) {
              const int ky = i / OUTPUTS, r = i % OUTPUTS;
              if (channel + kx < 0 || channel + kx >= p.extent[2] || row + ky + r < 0 ||
                  row + ky + r >= p.extent[1])
                continue;
              const SUM tap = taps[kx * packed + ky];
              if (SPARSE && is_zero(tap)) continue;
#pragma unroll
              for (int s = 0; s < OUTPUTS; s++)
                if (s == r) add_product(sums[s], tap, first[(ky + s) * pitch + kx * group]);
            }
        }
        __syncthreads();
      }
    }
  }

  const Index column = first_column + tx;
  if (column >= p.outputs[2] * group) return;
  RESULT* out = at.out + plane * p.out_stride[0] + column / group * p.out_stride[2] +
                column % group * p.out_channel;
#pragma unroll
  for (int r = 0; r < OUTPUTS; r++) {
    const Index row = first_row + ty * OUTPUTS + r;
    if (row < p.outputs[1]) store(out + row * p.out_stride[1], sums[r], p.divisor);
  }
}

// --- lines ---------------------------------------------------------------------------------------

// Segments of lines along the columns: `width` threads for each, so that short lines share a block.
// Rows are lines, too; the batch is the rest. Lines of one block have one kernel.
extern "C" __global__ void __launch_bounds__(THREADS) line(const Filter p) {
  if (stays_idle(p.only_if)) return;
  DYNAMIC_SHARED(memory);
  const int width = p.width, lines = THREADS / width;
  const int lane = threadIdx.x % width, mine = threadIdx.x / width;
  Index block = blockIdx.x;
  const Index first = block % p.tiles[1] * width * OUTPUTS;
  block /= p.tiles[1];
  const Index row = block % p.tiles[0] * lines + mine;
  const Origin at = origin_of(p, block / p.tiles[0]);
  const bool exists = row < p.outputs[1];
  const SUM outside = element_of<SUM>(p.fill[0], p.fill[1]);
  const X* from = at.x + row * p.x_stride[1];

  SUM sums[OUTPUTS] = {};
  const int room = with_gaps(width * OUTPUTS + p.chunk[1]);
  SUM* taps = (SUM*)memory;
  SUM* data = taps + (p.chunk[1] + PACK - 1) / PACK * PACK + mine * room;
  for (int kx0 = 0; kx0 < p.taps[2]; kx0 += p.chunk[1]) {
    const int wide = min(p.chunk[1], p.taps[2] - kx0), length = width * OUTPUTS + wide - 1;
    bool infinite = false;
    for (int k = threadIdx.x; k < wide; k += THREADS) {
      const SUM tap = at.w[(kx0 + k) * p.w_stride[2]];
      taps[k] = tap;
      infinite = infinite || !is_finite(tap);
    }
    if (exists) {
#pragma unroll 4
      for (int i = lane; i < length; i += width) {
        const Index column = source_of(first + i + p.offset[2] + kx0, p.extent[2], p.boundary);
        data[with_gaps(i)] =
            column >= 0 ? convert<SUM>(from[column * p.x_stride[2]]) : outside;
      }
    }
    const bool guarded = __syncthreads_or(infinite) && p.boundary == ZERO;
    const LineWindow window = {data + lane * (OUTPUTS + 1)};
    if (!guarded) {
      sum_taps(sums, taps, wide, window);
    } else {
      const Index column = first + lane * OUTPUTS + p.offset[2] + kx0;
      for (int k = 0; k < wide; k++)
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++)
          if (column + k + r >= 0 && column + k + r < p.extent[2] &&
              !(SPARSE && is_zero(taps[k])))
            add_product(sums[r], taps[k], window(k + r));
    }
    __syncthreads();
  }

  // By way of shared memory, so that neighbours write side by side.
#pragma unroll
  for (int r = 0; r < OUTPUTS; r++) data[lane * (OUTPUTS + 1) + r] = sums[r];
  __syncthreads();
  if (!exists) return;
  RESULT* out = at.out + row * p.out_stride[1];
  for (int i = lane; i < width * OUTPUTS; i += width)
    if (first + i < p.outputs[2])
      store(out + (first + i) * p.out_stride[2], data[with_gaps(i)], p.divisor);
}
