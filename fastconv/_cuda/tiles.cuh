// What the kernels of tiles share: how a thread sums outputs that lie one behind the other.
//
// X, SUM, RESULT, CUT and SPARSE are as filters.cu says; THREADS, COLUMNS and STEP as
// _gpu_filters.py.

// Outputs of a thread.
constexpr int OUTPUTS = sizeof(SUM) <= 4 ? 8 : sizeof(SUM) <= 8 ? 4 : 2;
// Taps that are read from shared memory at once.
constexpr int PACK = sizeof(SUM) < 2 ? STEP : 16 / sizeof(SUM);
// Rows of a block's tile of an image.
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

// The same for any number of taps; window.from(k) is the window k elements on, k a multiple of
// STEP.
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

// Along a line that has a gap behind every OUTPUTS elements: threads start that far apart, and
// would meet in the banks of shared memory.
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

// The tile of ROWS × COLUMNS outputs that a block computes in one plane, and this thread's column
// and first row in it. Neighbouring columns may be channels of one pixel: `group` of them.
struct Tile {
  Index row, column, plane;  // first ones
  Origin at;
  int x, y;
};

INLINE Tile tile_of(const Filter& p) {
  Index block = blockIdx.x;
  Tile t;
  t.column = block % p.tiles[1] * COLUMNS;
  block /= p.tiles[1];
  t.row = block % p.tiles[0] * ROWS;
  block /= p.tiles[0];
  t.plane = block % p.outputs[0];
  t.at = origin_of(p, block / p.outputs[0]);
  t.x = threadIdx.x % COLUMNS;
  t.y = threadIdx.x / COLUMNS * OUTPUTS;
  return t;
}

// Bring rows × columns elements of plane z of x̃ into shared memory, from a row and a column on (in
// channels): place(r, c) is where one goes. A warp takes a row.
template <class Place>
INLINE void stage(const Filter& p, const X* x, Index z, Index first_row, Index first_column,
                  int rows, int columns, Place place) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const SUM outside = element_of<SUM>(p.fill);
  for (int c = lane; c < columns; c += 32) {
    const Index q = first_column + c;
    Index pixel = q / p.group;
    if (q < pixel * p.group) pixel--;
    const Index column = source_of(pixel, p.extent[2], p.boundary);
    const X* from = x + column * p.x_stride[2] + (q - pixel * p.group) * p.x_channel;
    from += z * p.x_stride[0];
    const bool inside = column >= 0 && z >= 0;
#pragma unroll 4
    for (int r = warp; r < rows; r += THREADS / 32) {
      const Index row = source_of(first_row + r, p.extent[1], p.boundary);
      *place(r, c) = inside && row >= 0 ? convert<SUM>(from[row * p.x_stride[1]]) : outside;
    }
  }
}

// Write this thread's sums.
INLINE void put(const Filter& p, const Tile& t, const SUM* sums, double divisor) {
  const Index column = t.column + t.x;
  if (column >= p.outputs[2] * p.group) return;
  RESULT* out = t.at.out + t.plane * p.out_stride[0] + column / p.group * p.out_stride[2] +
                column % p.group * p.out_channel;
#pragma unroll
  for (int r = 0; r < OUTPUTS; r++) {
    const Index row = t.row + t.y + r;
    if (row < p.outputs[1]) store(out + row * p.out_stride[1], sums[r], divisor);
  }
}
