#include "threads.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define FASTCONV_CAN_FORK 1
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace fastconv {
namespace {

// A chunk is this part of a thread's share of what is left: large enough that neighbours share a
// cache, and ever smaller, so that nobody waits long for a slow core's last one.
constexpr ptrdiff_t chunks_of_share = 4;
// How long a thread looks for what it waits for before it sleeps: a little more than a wake-up
// takes, so that regions in a row find the workers awake, and no core is kept from others for long.
constexpr std::chrono::microseconds patience{50};
constexpr int looks_between_clocks = 32;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

template <class Condition>
bool look_for(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  do {
    for (int i = 0; i < looks_between_clocks; i++) {
      if (condition()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// Where another library's threads spin on every other core, the system leaves a worker on the
// caller's, where the two share one core for as long as the spinning lasts. A worker that finds
// itself there goes to another core, and is free to be moved again.
#if defined(__linux__)
int this_core() { return sched_getcpu(); }

void leave_core(int core) {
  cpu_set_t allowed;
  if (core < 0 || core >= CPU_SETSIZE || sched_getcpu() != core ||
      sched_getaffinity(0, sizeof allowed, &allowed) != 0)
    return;
  cpu_set_t others = allowed;
  CPU_CLR(core, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
int this_core() { return -1; }
void leave_core(int) {}
#endif

std::atomic<bool> forked_child{false};
#ifdef FASTCONV_CAN_FORK
[[maybe_unused]] const int fork_handler_registered =
    pthread_atfork(nullptr, nullptr, [] { forked_child = true; });
#endif

class Pool {
 public:
  // One region at a time; false where another caller's is running.
  bool claim() { return !claimed_.exchange(true, std::memory_order_acquire); }

  void run(ptrdiff_t items, int threads, RangeFunction body, void* context) {
    body_ = body;
    context_ = context;
    items_ = items;
    divisor_ = threads * chunks_of_share;
    core_ = this_core();
    next_.store(0, std::memory_order_relaxed);
    grow(threads - 1);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      wanted_ = threads - 1;
      joined_ = 0;
      region_.fetch_add(1, std::memory_order_release);
    }
    for (int i = 1; i < threads; i++) wake_.notify_one();
    work(0);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      wanted_ = 0;  // who has not started by now is not needed
    }
    const auto done = [this] { return active_.load(std::memory_order_acquire) == 0; };
    if (!look_for(done)) {
      std::unique_lock<std::mutex> lock(mutex_);
      finished_.wait(lock, done);
    }
    claimed_.store(false, std::memory_order_release);
  }

 private:
  void grow(int workers) {
    for (; workers_ < workers; workers_++) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::exception&) {
        return;  // no more threads are to be had: those there are do the work
      }
    }
  }

  void work(int thread) {
    ptrdiff_t first = next_.load(std::memory_order_relaxed);
    while (first < items_) {
      const ptrdiff_t left = items_ - first;
      const ptrdiff_t chunk = left > divisor_ ? left / divisor_ : 1;
      if (!next_.compare_exchange_weak(first, first + chunk, std::memory_order_relaxed)) continue;
      body_(context_, first, first + chunk, thread);
      first = next_.load(std::memory_order_relaxed);
    }
  }

  [[noreturn]] void serve() {
    unsigned seen = 0;
    bool patient = true;  // whether to look for the next region before sleeping
    for (;;) {
      const auto news = [&] { return region_.load(std::memory_order_acquire) != seen; };
      const bool awake = patient && look_for(news);
      int thread;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, news);
        seen = region_.load(std::memory_order_relaxed);
        // Who was woken too late is awake for the next region; who was awake and is not needed
        // sleeps, so that a region does not keep more workers looking than it uses.
        patient = wanted_ > 0 || !awake;
        if (wanted_ == 0) continue;
        wanted_--;
        thread = ++joined_;
        active_.fetch_add(1, std::memory_order_relaxed);
      }
      leave_core(core_);
      work(thread);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        active_.fetch_sub(1, std::memory_order_release);
      }
      finished_.notify_one();
    }
  }

  std::atomic<bool> claimed_{false};

  // The region: written by the caller before region_ counts on, read by workers after.
  RangeFunction body_ = nullptr;
  void* context_ = nullptr;
  ptrdiff_t items_ = 0, divisor_ = 1;
  int core_ = -1;  // the caller's
  std::atomic<ptrdiff_t> next_{0};

  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::atomic<unsigned> region_{0};
  std::atomic<int> active_{0};  // workers inside the region
  int wanted_ = 0;              // workers that may still join
  int joined_ = 0;
  int workers_ = 0;
};

// Never destroyed: workers wait on it until the process ends.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

void parallel_for(ptrdiff_t items, int threads, RangeFunction body, void* context) {
  if (items <= 0) return;
  if (threads > items) threads = static_cast<int>(items);
  if (threads > 1 && !forked_child && pool().claim())
    pool().run(items, threads, body, context);
  else
    body(context, 0, items, 0);
}

}  // namespace fastconv
