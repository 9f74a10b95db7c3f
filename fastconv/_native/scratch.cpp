#include "scratch.hpp"

#include <atomic>
#include <new>

namespace fastconv {
namespace {

constexpr size_t alignment = 64;
// The most that stays behind between calls.
constexpr size_t kept_limit = size_t(16) << 20;

// The size stands in a cache line of its own before the scratch.
struct alignas(alignment) Header {
  size_t bytes;
};

// One piece is kept: calls that run at once allocate theirs, and the last one's stays.
std::atomic<Header*> kept{nullptr};

}  // namespace

// C's aligned_alloc is not to be had everywhere.
void* allocate_lines(size_t bytes) {
  return operator new(bytes, std::align_val_t(alignment), std::nothrow);
}

void free_lines(void* memory) { operator delete(memory, std::align_val_t(alignment)); }

char* take_scratch(ptrdiff_t bytes) {
  const size_t wanted = (size_t(bytes) + alignment - 1) / alignment * alignment + sizeof(Header);
  Header* header = kept.exchange(nullptr);
  if (header && header->bytes < wanted) {
    free_lines(header);
    header = nullptr;
  }
  if (!header) {
    header = static_cast<Header*>(allocate_lines(wanted));
    if (!header) return nullptr;
    header->bytes = wanted;
  }
  return reinterpret_cast<char*>(header + 1);
}

void give_scratch_back(char* scratch) {
  if (!scratch) return;
  Header* header = reinterpret_cast<Header*>(scratch) - 1;
  if (header->bytes <= kept_limit) header = kept.exchange(header);
  free_lines(header);
}

}  // namespace fastconv
