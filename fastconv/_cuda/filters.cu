// Correlations of signals, images and volumes, by their sums of products.
//
// Compiled for the types of the elements: X of the data, SUM of taps and sums, RESULT of the result
// (see common.cuh for how one becomes the other). CUT cuts sums that become integers; SPARSE takes
// a tap that is zero for none at all. All arrays may have any strides.
//
// A block holds the part of the data that its outputs read in shared memory, with its halo, so that
// the boundary is met by the loads alone. A thread sums several outputs that lie one behind the
// other: each element that it takes from shared memory serves as many products.
#include "common.cuh"
#include "tiles.cuh"

// --- images --------------------------------------------------------------------------------------

// A tile of outputs; the axes are planes, rows and columns. Large kernels are taken in parts, each
// with the data that it meets and a sum of its own: a long sum would err by more than those of
// parts.
extern "C" __global__ void __launch_bounds__(THREADS, 2) image(const Filter p) {
  if (stays_idle(p.only_if)) return;
  DYNAMIC_SHARED(memory);
  const Tile t = tile_of(p);
  const int group = p.group;

  SUM sums[OUTPUTS] = {};
  for (int kz = 0; kz < p.taps[0]; kz++) {
    const Index z = source_of(t.plane + p.offset[0] + kz, p.extent[0], p.boundary);
    if (z < 0 && p.boundary == ZERO) continue;
    for (int ky0 = 0; ky0 < p.taps[1]; ky0 += p.chunk[0]) {
      const int tall = min(p.chunk[0], p.taps[1] - ky0);
      const Index row = t.row + p.offset[1] + ky0;
      for (int kx0 = 0; kx0 < p.taps[2]; kx0 += p.chunk[1]) {
        const int wide = min(p.chunk[1], p.taps[2] - kx0), pitch = COLUMNS + (wide - 1) * group;
        const Index column = t.column + (p.offset[2] + kx0) * group;
        const int packed = (tall + PACK - 1) / PACK * PACK;
        SUM* taps = (SUM*)memory;  // column by column
        SUM* tile = taps + packed * wide;

        bool infinite = false;
        for (int i = threadIdx.x; i < tall * wide; i += THREADS) {
          const int ky = i % tall, kx = i / tall;
          const SUM tap =
              t.at.w[kz * p.w_stride[0] + (ky0 + ky) * p.w_stride[1] + (kx0 + kx) * p.w_stride[2]];
          taps[kx * packed + ky] = tap;
          infinite = infinite || !is_finite(tap);
        }
        stage(p, t.at.x, z, row, column, ROWS + tall - 1, pitch,
              [=](int r, int c) { return tile + r * pitch + c; });
        // What lies beyond an edge of zeros meets no tap, not even an infinite one.
        const bool guarded = __syncthreads_or(infinite) && p.boundary == ZERO;
        const SUM* first = tile + t.y * pitch + t.x;
        SUM part[OUTPUTS] = {};
        if (!guarded) {
          for (int kx = 0; kx < wide; kx++)
            sum_taps(part, taps + kx * packed, tall, ColumnWindow{first + kx * group, pitch});
        } else {
          const Index pixel = (t.column + t.x) / group + p.offset[2] + kx0;
          for (int kx = 0; kx < wide; kx++)
            for (int i = 0; i < OUTPUTS * tall; i++) {
              const int ky = i / OUTPUTS, r = i % OUTPUTS;
              if (pixel + kx < 0 || pixel + kx >= p.extent[2] || row + t.y + ky + r < 0 ||
                  row + t.y + ky + r >= p.extent[1])
                continue;
              const SUM tap = taps[kx * packed + ky];
              if (SPARSE && is_zero(tap)) continue;
#pragma unroll
              for (int s = 0; s < OUTPUTS; s++)
                if (s == r) add_product(part[s], tap, first[(ky + s) * pitch + kx * group]);
            }
        }
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++) add_part(sums[r], part[r]);
        __syncthreads();
      }
    }
  }
  put(p, t, sums, p.divisor);
}

// --- lines ---------------------------------------------------------------------------------------

// Segments of lines along the columns: `width` threads for each, so that short lines share a block.
// Rows are lines, too; the batch is the rest. Lines of one block have one kernel.
extern "C" __global__ void __launch_bounds__(THREADS, 2) line(const Filter p) {
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
  const SUM outside = element_of<SUM>(p.fill);
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
        data[with_gaps(i)] = column >= 0 ? convert<SUM>(from[column * p.x_stride[2]]) : outside;
      }
    }
    const bool guarded = __syncthreads_or(infinite) && p.boundary == ZERO;
    const LineWindow window = {data + lane * (OUTPUTS + 1)};
    SUM part[OUTPUTS] = {};
    if (!guarded) {
      sum_taps(part, taps, wide, window);
    } else {
      const Index column = first + lane * OUTPUTS + p.offset[2] + kx0;
      for (int k = 0; k < wide; k++)
#pragma unroll
        for (int r = 0; r < OUTPUTS; r++)
          if (column + k + r >= 0 && column + k + r < p.extent[2] && !(SPARSE && is_zero(taps[k])))
            add_product(part[r], taps[k], window(k + r));
    }
#pragma unroll
    for (int r = 0; r < OUTPUTS; r++) add_part(sums[r], part[r]);
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

// --- sums in order -------------------------------------------------------------------------------

#if ORDERED
// The taps of a list that is staged: where in the tile they and their fellows are, from an output
// on.
struct StagedTap {
  int first, second;
  SUM weight;
};

// A tile of outputs whose sums keep the order of a list of taps, each product and sum rounded by
// itself, as SciPy's are. One plane, one staged window; w is the list.
extern "C" __global__ void __launch_bounds__(THREADS, 2) image_in_order(const Filter p) {
  DYNAMIC_SHARED(memory);
  const Tile t = tile_of(p);
  const int pitch = COLUMNS + (p.taps[2] - 1) * p.group;
  StagedTap* taps = (StagedTap*)memory;
  SUM* tile = (SUM*)(taps + p.listed);
  const OrderedTap* list = (const OrderedTap*)p.w;
  for (int i = threadIdx.x; i < p.listed; i += THREADS) {
    const auto place = [&](Index number) {
      return int(number / p.step[0] % p.taps[1] * pitch + number / p.step[1] % p.taps[2] * p.group);
    };
    taps[i].first = place(list[i].first);
    taps[i].second = list[i].second < 0 ? -1 : place(list[i].second);
    taps[i].weight = SUM(list[i].weight);
  }
  stage(p, t.at.x, t.plane, t.row + p.offset[1], t.column + p.offset[2] * p.group,
        ROWS + p.taps[1] - 1, pitch, [=](int r, int c) { return tile + r * pitch + c; });
  __syncthreads();

  const SUM* mine = tile + t.y * pitch + t.x;
  SUM sums[OUTPUTS] = {};
  for (int i = 0; i < p.listed; i++) {
    const StagedTap tap = taps[i];
#pragma unroll
    for (int r = 0; r < OUTPUTS; r++) {
      SUM value = mine[r * pitch + tap.first];
      if (tap.second >= 0) {
        const SUM other = mine[r * pitch + tap.second];
        value = plus(value, p.fold < 0 ? -other : other);
      }
      const SUM product = times(value, tap.weight);
      sums[r] = i == 0 ? product : plus(sums[r], product);
    }
  }
  put(p, t, sums, 0);
}
#endif
