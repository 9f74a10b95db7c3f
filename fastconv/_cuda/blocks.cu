// Blocks of a convolution by transforms: from the data, through the spectra, to the result.
//
// gather copies data x, of any strides and extended by its boundary rule, into blocks for the
// transforms: (block, points along each transformed axis), contiguous, of POINT. multiply forms the
// products of their spectra with the kernel's. scatter stores of each block the outputs that no
// wrapped sum touches. All wait for memory alone: each element is read once and written once, by
// neighbouring threads at neighbouring addresses.
//
// A row is a line of a block along the last transformed axis. A thread block copies a tile of
// ELEMENTS elements, 2^column_bits columns of some rows. Its first threads find where these rows
// lie, which takes divisions, and leave that in shared memory. Where rows lie closer in x (or in
// the result) than the elements of a row, the tile is TURNED: its elements pass through shared
// memory, too, so that both sides are read and written in the order of their addresses.
//
// Rows are numbered block by block, and blocks by their numbers along the axes, in the order of the
// struct's axes, the last one running fastest. Axis a of the struct has:
//   count, step       numbers that blocks have along it, and positions from one to the next
//   shift             position of the first element of block 0
//   length, divider   elements of a block along it, and the rows of a block from one to the next; 1
//                     for the last transformed axis, and for those that are not transformed
//   extent, stride    of x or the result
//   limit             gather: elements of a block from this one on are zero
//   pitch             scatter: elements of the blocks from one to the next
//
// What is not finite is replaced by zero in the data, and told by a flag: all write the same.
//
// Macros: DATA and RESULT, the dtypes of x and of the result; SUM, the dtype of the computation;
// POINT, that of the transforms: SUM, or double where SUM is an integer.
#include "common.cuh"

// Elements of a tile; of one that is turned, whose rows stand one element further apart, so that
// columns lie in different banks: bits of rows and columns, and elements from a row to the next.
static constexpr int ELEMENTS = THREADS * EACH;
static constexpr int TURNED_ROW_BITS = TILE_BITS - TURNED_BITS;
static constexpr int TURNED_PITCH = (1 << TURNED_BITS) + 1;
static_assert(ELEMENTS == 1 << TILE_BITS, "a tile is copied in so many steps");
// The place of what lies beyond an edge.
static constexpr Index BEYOND = Index(1ull << 63);

template <class Point>
struct SpectrumOf {
  typedef Complex<Point> Type;
};
template <class Real>
struct SpectrumOf<Complex<Real>> {
  typedef Complex<Real> Type;
};
typedef SpectrumOf<POINT>::Type Value;

// n / d and what remains, of numbers that are not negative; in a third of the time where 32 bits
// hold them.
INLINE Index divide(Index n, Index d, Index& remainder) {
  if ((n | d) >> 32 == 0) {
    const unsigned quotient = unsigned(n) / unsigned(d);
    remainder = Index(unsigned(n) - quotient * unsigned(d));
    return Index(quotient);
  }
  const Index quotient = n / d;
  remainder = n - quotient * d;
  return quotient;
}

// The tile of a thread block, and of its elements that which a thread copies as its i-th.
struct Tile {
  Index row, column;
  int rows, bits;
};

INLINE Tile tile_of(const Blocks& p) {
  const int bits = int(p.column_bits), rows = ELEMENTS >> bits;
  Index across;
  const Index down = divide(Index(blockIdx.x), p.across, across);
  return Tile{down * rows, across << bits, rows, bits};
}

INLINE int row_along(const Tile& tile, int i) { return (threadIdx.x + i * THREADS) >> tile.bits; }
INLINE int column_along(const Tile& tile, int i) {
  return (threadIdx.x + i * THREADS) & ((1 << tile.bits) - 1);
}
// The same where threads stand along the columns of a tile that is turned.
INLINE int row_across(int i) { return (threadIdx.x + i * THREADS) & ((1 << TURNED_ROW_BITS) - 1); }
INLINE int column_across(int i) { return (threadIdx.x + i * THREADS) >> TURNED_ROW_BITS; }

// Steps through the axes of a row, from the last one on.
struct Row {
  Index block;   // what is left of the number of its block
  Index inside;  // its number in the block

  // Its position along an axis, and its place in its block.
  INLINE Index position(const Blocks& p, int a, Index& within) {
    Index number = 0, unused;
    within = 0;
    if (p.count[a] > 1) block = divide(block, p.count[a], number);
    if (p.length[a] > 1) divide(divide(inside, p.divider[a], unused), p.length[a], within);
    return number * p.step[a] + p.shift[a] + within;
  }
};

// --- data into blocks ----------------------------------------------------------------------------

// Where a row lies in x but for the last axis, or BEYOND, and its first position along that.
INLINE void find_source(const Blocks& p, Index number, Index& base, Index& start) {
  Row row;
  row.block = p.first + divide(number, p.inner, row.inside);
  base = start = 0;
  bool beyond = false;
  for (int a = int(p.axes) - 1; a >= 0; --a) {
    Index within, at = row.position(p, a, within);
    if (a == p.last) {
      start = at;
      continue;
    }
    at = within < p.limit[a] ? source_of(at, p.extent[a], int(p.boundary)) : -1;
    beyond |= at < 0;
    base += at * p.stride[a];
  }
  if (beyond) base = BEYOND;
}

// A tap over the number of points, where that is told: transforms back leave it out.
template <class T>
INLINE T normalized(T v, double points) {
  if constexpr (IsComplex<T>::value)
    return T{divided(v.re, points), divided(v.im, points)};
  else
    return divided(v, points);
}

template <bool TURNED>
INLINE void gather_tile(const Blocks& p, unsigned char* shared) {
  const Tile tile = tile_of(p);
  Index* const base = (Index*)shared;
  Index* const start = base + tile.rows;
  for (int r = threadIdx.x; r < tile.rows; r += THREADS)
    if (tile.row + r < p.rows) find_source(p, tile.row + r, base[r], start[r]);
  __syncthreads();

  const DATA* const x = (const DATA*)p.source;
  POINT* const blocks = (POINT*)p.target;
  const Index extent = p.extent[p.last], stride = p.stride[p.last], limit = p.limit[p.last];
  const SUM fill = convert<SUM>(Complex<double>{p.fill[0], p.fill[1]});
  // All places first: then all loads are on their way together.
  Index places[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int r = TURNED ? row_across(i) : row_along(tile, i);
    const Index column = tile.column + (TURNED ? column_across(i) : column_along(tile, i));
    places[i] = BEYOND;
    if (tile.row + r < p.rows && column < limit && base[r] != BEYOND) {
      const Index at = source_of(start[r] + column, extent, int(p.boundary));
      if (at >= 0) places[i] = base[r] + at * stride;
    }
  }
  bool finite = true;
  POINT points[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    SUM v = places[i] == BEYOND ? fill : convert<SUM>(x[places[i]]);
    if (!is_finite(v)) {
      finite = false;
      v = SUM();
    }
    points[i] = normalized(convert<POINT>(v), p.divisor);
  }
  if (!finite) *(int*)p.flag = 1;

  if constexpr (TURNED) {
    POINT* const turned = (POINT*)(start + tile.rows);
#pragma unroll
    for (int i = 0; i < EACH; ++i)
      turned[row_across(i) * TURNED_PITCH + column_across(i)] = points[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH; ++i)
      points[i] = turned[row_along(tile, i) * TURNED_PITCH + column_along(tile, i)];
  }
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const Index row = tile.row + row_along(tile, i), column = tile.column + column_along(tile, i);
    if (row < p.rows && column < p.columns) blocks[row * p.columns + column] = points[i];
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) gather(const Blocks p) {
  DYNAMIC_SHARED(shared);
  gather_tile<false>(p, shared);
}

extern "C" __global__ void __launch_bounds__(THREADS) gather_turned(const Blocks p) {
  DYNAMIC_SHARED(shared);
  gather_tile<true>(p, shared);
}

// --- products of spectra -------------------------------------------------------------------------

// target = source · kernel, or their sum with what is in target: (block, points) each, of which the
// kernel has those from `kernel_first` on, one for every `blocks_each` blocks. Source and target
// may be one.
extern "C" __global__ void __launch_bounds__(THREADS) multiply(const Blocks p) {
  const Value* const spectra = (const Value*)p.source;
  const Value* const kernels = (const Value*)p.kernel;
  Value* const target = (Value*)p.target;
  const Index points = p.columns, elements = p.rows * points;
  const Index first = Index(blockIdx.x) * ELEMENTS + threadIdx.x;
  // Element and block of this thread's first product; steps to the next ones.
  Index point, point_step, unused;
  Index block = divide(first, points, point);
  const Index block_step = divide(Index(THREADS), points, point_step);
  Value values[EACH], taps[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    if (first + i * THREADS < elements) {
      Index kernel = 0;
      if (p.kernel_count > 1) {
        kernel = divide(p.first + block, p.blocks_each, unused) - p.kernel_first;
        if (kernel >= p.kernel_count)
          kernel = p.kernel_count - 1;  // of blocks that nobody asks for
      }
      values[i] = spectra[first + i * THREADS];
      taps[i] = kernels[kernel * points + point];
    }
    point += point_step;
    block += block_step;
    if (point >= points) {
      point -= points;
      ++block;
    }
  }
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const Index element = first + i * THREADS;
    if (element >= elements) break;
    Value sum = Value();
    if (p.added) sum = target[element];
    add_product(sum, values[i], taps[i]);
    target[element] = sum;
  }
}

// --- blocks into the result ----------------------------------------------------------------------

// Where the first output of a row lies in the blocks and in the result, and how many there are.
INLINE void find_target(const Blocks& p, Index number, Index& from, Index& to, Index& width) {
  Row row;
  const Index block = divide(number, p.inner, row.inside);
  row.block = p.first + block;
  bool beyond = row.block >= p.total;
  from = block * p.block_points + p.origin;
  to = 0;
  width = p.columns;
  for (int a = int(p.axes) - 1; a >= 0; --a) {
    Index within;
    const Index at = row.position(p, a, within), left = p.extent[a] - at;
    from += within * p.pitch[a];
    to += at * p.stride[a];
    beyond |= left <= 0;
    if (a == p.last && left < width) width = left;
  }
  if (beyond) width = 0;
}

INLINE RESULT stored(POINT v) {
  if constexpr (Same<SUM, POINT>::value)
    return Stored<RESULT, false>::of(v);
  else
    return Stored<RESULT, false>::of(Stored<SUM, false>::of(v));
}

template <bool TURNED>
INLINE void scatter_tile(const Blocks& p, unsigned char* shared) {
  const Tile tile = tile_of(p);
  Index* const from = (Index*)shared;
  Index* const to = from + tile.rows;
  Index* const width = to + tile.rows;
  for (int r = threadIdx.x; r < tile.rows; r += THREADS) {
    width[r] = 0;
    if (tile.row + r < p.rows) find_target(p, tile.row + r, from[r], to[r], width[r]);
  }
  __syncthreads();

  const POINT* const blocks = (const POINT*)p.source;
  RESULT* const out = (RESULT*)p.target;
  const Index stride = p.stride[p.last];
  bool finite = true;
  POINT points[EACH];
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int r = row_along(tile, i);
    const Index column = tile.column + column_along(tile, i);
    points[i] = column < width[r] ? blocks[from[r] + column] : POINT();
    finite &= is_finite(points[i]);
  }
  if (!finite) *(int*)p.flag = 1;

  if constexpr (TURNED) {
    POINT* const turned = (POINT*)(width + tile.rows);
#pragma unroll
    for (int i = 0; i < EACH; ++i)
      turned[row_along(tile, i) * TURNED_PITCH + column_along(tile, i)] = points[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < EACH; ++i)
      points[i] = turned[row_across(i) * TURNED_PITCH + column_across(i)];
  }
#pragma unroll
  for (int i = 0; i < EACH; ++i) {
    const int r = TURNED ? row_across(i) : row_along(tile, i);
    const Index column = tile.column + (TURNED ? column_across(i) : column_along(tile, i));
    if (column < width[r]) out[to[r] + column * stride] = stored(points[i]);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS) scatter(const Blocks p) {
  DYNAMIC_SHARED(shared);
  scatter_tile<false>(p, shared);
}

extern "C" __global__ void __launch_bounds__(THREADS) scatter_turned(const Blocks p) {
  DYNAMIC_SHARED(shared);
  scatter_tile<true>(p, shared);
}
