// Lines between arrays and a computation: read through the boundary and converted on their way in,
// converted on their way out.
#pragma once
#include "boundary.hpp"
#include "direct.hpp"
#include "job.hpp"

namespace fastconv {

// An array's innermost axis, and the type whose scalars it holds (two of them where the computation
// is complex).
class LineReader {
 public:
  // `fill` is one element of the computation's type, or null for zero.
  LineReader(const CorrelationAxis& axis, ElementType type, StorageType stored, Boundary boundary,
             const char* fill);

  // Elements [start, start + count) of the extended line; only those before `first` and from
  // `last` on lie beyond an edge.
  struct Span {
    ptrdiff_t start, count, first, last;
    const ptrdiff_t* sources;  // where those come from, if that was found before; -1 for the fill
  };
  // Finds the sources once for many lines where `sources` has room for `count` of them.
  Span span(ptrdiff_t start, ptrdiff_t count, ptrdiff_t* sources = nullptr) const;

  // Where the elements lie as the computation wants them; null where they do not.
  const char* in_place(const char* line, ptrdiff_t start, ptrdiff_t count) const;
  // to[i] = x̃[span.start + i].
  void read(const char* line, const Span& span, char* to) const;

 private:
  void convert(const char* from, char* to, ptrdiff_t count) const;
  void read_beyond(const char* line, const Span& span, ptrdiff_t from, ptrdiff_t to,
                   char* out) const;

  ptrdiff_t extent_, stride_, stored_scalar_, scalar_;
  int parts_;
  bool same_;
  const Conversion& conversion_;
  Boundary boundary_;
  const char* fill_;
};

// The innermost axis of a result. Integers are rounded and wrap around.
class LineWriter {
 public:
  LineWriter(const CorrelationAxis& axis, ElementType type, StorageType stored);

  // Whether lines of the computation may be stored there as they are.
  bool takes(const char* out) const;
  // Writes a line of the computation, which may be changed.
  void write(char* line, char* out, ptrdiff_t count) const;

 private:
  ptrdiff_t stride_, stored_scalar_, scalar_;
  int parts_;
  bool same_, integers_;
  const Conversion& conversion_;
};

}  // namespace fastconv
