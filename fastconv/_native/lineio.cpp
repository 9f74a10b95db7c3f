#include "lineio.hpp"

#include <stdint.h>
#include <string.h>

#include "dispatch.hpp"
#include "sizes.hpp"

namespace fastconv {
namespace {

StorageType scalar_of(ElementType type) {
  return is_single(type) ? STORED_FLOAT32 : STORED_FLOAT64;
}
const Conversion& conversion_of(ElementType type, StorageType stored) {
  return conversions_of(is_single(type) ? FLOAT32 : FLOAT64)[stored];
}
bool is_aligned(const char* p, ptrdiff_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % size_t(bytes) == 0;
}

template <class Integer>
void wrap(const char* line, char* out, ptrdiff_t stride, ptrdiff_t count) {
  const long long* from = reinterpret_cast<const long long*>(line);
  for (ptrdiff_t i = 0; i < count; i++) {
    const Integer low = Integer(from[i]);
    memcpy(out + i * stride, &low, sizeof low);
  }
}

}  // namespace

// --- reading ------------------------------------------------------------------------------------

LineReader::LineReader(const CorrelationAxis& axis, ElementType type, StorageType stored,
                       Boundary boundary, const char* fill)
    : extent_(axis.x_extent),
      stride_(axis.x_stride),
      stored_scalar_(bytes_of(stored)),
      scalar_(bytes_of(scalar_of(type))),
      parts_(is_complex(type) ? 2 : 1),
      same_(stored == scalar_of(type)),
      conversion_(conversion_of(type, stored)),
      boundary_(boundary),
      fill_(fill) {}

LineReader::Span LineReader::span(ptrdiff_t start, ptrdiff_t count, ptrdiff_t* sources) const {
  Span s = {start, count, 0, 0, sources};
  s.first = min(max(-start, 0), count);
  s.last = max(min(extent_ - start, count), s.first);
  if (!sources) return s;
  for (ptrdiff_t i = 0; i < s.first; i++) sources[i] = map_index(start + i, extent_, boundary_);
  for (ptrdiff_t i = s.last; i < count; i++) sources[i] = map_index(start + i, extent_, boundary_);
  return s;
}

const char* LineReader::in_place(const char* line, ptrdiff_t start, ptrdiff_t count) const {
  const char* at = line + start * stride_;
  const bool inside = start >= 0 && start + count <= extent_;
  return inside && same_ && stride_ == parts_ * scalar_ && is_aligned(at, scalar_) ? at : nullptr;
}

void LineReader::read(const char* line, const Span& span, char* to) const {
  const ptrdiff_t element = parts_ * scalar_;
  read_beyond(line, span, 0, span.first, to);
  convert(line + (span.start + span.first) * stride_, to + span.first * element,
          span.last - span.first);
  read_beyond(line, span, span.last, span.count, to);
}

void LineReader::read_beyond(const char* line, const Span& span, ptrdiff_t from, ptrdiff_t to,
                             char* out) const {
  const ptrdiff_t element = parts_ * scalar_;
  if (boundary_ == Boundary::zero) {
    memset(out + from * element, 0, size_t((to - from) * element));
    return;
  }
  for (ptrdiff_t i = from; i < to; i++) {
    const ptrdiff_t source =
        span.sources ? span.sources[i] : map_index(span.start + i, extent_, boundary_);
    if (source >= 0)
      convert(line + source * stride_, out + i * element, 1);
    else if (fill_)
      memcpy(out + i * element, fill_, size_t(element));
    else
      memset(out + i * element, 0, size_t(element));
  }
}

void LineReader::convert(const char* from, char* to, ptrdiff_t count) const {
  if (count <= 0) return;
  if (parts_ == 1) {
    conversion_.load(from, stride_, to, count);
  } else if (stride_ == parts_ * stored_scalar_) {
    conversion_.load(from, stored_scalar_, to, parts_ * count);
  } else {
    for (ptrdiff_t i = 0; i < count; i++)
      conversion_.load(from + i * stride_, stored_scalar_, to + i * parts_ * scalar_, parts_);
  }
}

// --- writing ------------------------------------------------------------------------------------

LineWriter::LineWriter(const CorrelationAxis& axis, ElementType type, StorageType stored)
    : stride_(axis.out_stride),
      stored_scalar_(bytes_of(stored)),
      scalar_(bytes_of(scalar_of(type))),
      parts_(is_complex(type) ? 2 : 1),
      same_(stored == scalar_of(type)),
      integers_(stored != STORED_FLOAT32 && stored != STORED_FLOAT64),
      conversion_(conversion_of(type, stored)) {}

bool LineWriter::takes(const char* out) const {
  return same_ && stride_ == parts_ * scalar_ && is_aligned(out, scalar_);
}

void LineWriter::write(char* line, char* out, ptrdiff_t count) const {
  if (takes(out)) {
    memcpy(out, line, size_t(count * parts_ * scalar_));
  } else if (integers_) {
    long long* integers = reinterpret_cast<long long*>(line);
    levels().used->spectrum.round_f64(reinterpret_cast<const double*>(line), count, integers);
    if (stored_scalar_ == 1)
      wrap<uint8_t>(line, out, stride_, count);
    else if (stored_scalar_ == 2)
      wrap<uint16_t>(line, out, stride_, count);
    else if (stored_scalar_ == 4)
      wrap<uint32_t>(line, out, stride_, count);
    else
      wrap<uint64_t>(line, out, stride_, count);
  } else if (parts_ == 1) {
    conversion_.store(line, out, stride_, count);
  } else if (stride_ == parts_ * stored_scalar_) {
    conversion_.store(line, out, stored_scalar_, parts_ * count);
  } else {
    for (ptrdiff_t i = 0; i < count; i++)
      conversion_.store(line + i * parts_ * scalar_, out + i * stride_, stored_scalar_, parts_);
  }
}

}  // namespace fastconv
