// How a driver's job runs: its items in parallel, each thread with scratch of its own.
#pragma once
#include "direct.hpp"
#include "scratch.hpp"
#include "sizes.hpp"
#include "threads.hpp"

namespace fastconv {

// Runs body(first, last, thread) over [0, items) here, or on all threads together.
struct Here {
  template <class Body>
  void operator()(ptrdiff_t items, const Body& body) const {
    body(0, items, 0);
  }
};
struct OnThreads {
  int threads;
  template <class Body>
  void operator()(ptrdiff_t items, const Body& body) const {
    parallel_for(
        items, threads,
        [](void* context, ptrdiff_t first, ptrdiff_t last, int thread) {
          (*static_cast<const Body*>(context))(first, last, thread);
        },
        const_cast<Body*>(&body));
  }
};

// A Job has items(), scratch_bytes() of one thread, and run(first, last, scratch).
template <class Job>
Status run_items(const Job& job, int threads) {
  struct Region {
    const Job* job;
    char* scratch;
    ptrdiff_t stride;
  };
  threads = int(min(threads, job.items()));
  Region region = {&job, nullptr, round_up(job.scratch_bytes(), cache_line)};
  region.scratch = take_scratch(threads * region.stride);
  if (!region.scratch) return Status::no_memory;
  parallel_for(
      job.items(), threads,
      [](void* context, ptrdiff_t first, ptrdiff_t last, int thread) {
        const Region* r = static_cast<Region*>(context);
        r->job->run(first, last, r->scratch + thread * r->stride);
      },
      &region);
  give_scratch_back(region.scratch);
  return Status::ok;
}

// The same for a job whose items share sums (shared_bytes(), take_shared()) that it joins at the
// end (join_parts()).
template <class Job>
Status run_parts(Job& job, int threads) {
  job.take_shared();
  const Status status = run_items(job, threads);
  if (status == Status::ok) job.join_parts();
  return status;
}

// Bytes that all threads of a job take together, with those that they share.
template <class Job>
Status tell_scratch(const Job& job, int threads, ptrdiff_t* scratch, ptrdiff_t shared = 0) {
  *scratch = min(threads, job.items()) * round_up(job.scratch_bytes(), cache_line) + shared;
  return Status::ok;
}

// Blocks one after the other, all threads on each. A Job has block_bytes() for the block,
// thread_bytes() for each thread and run_together(scratch, threads).
template <class Job>
Status run_together(const Job& job, int threads) {
  char* scratch = take_scratch(job.block_bytes() + threads * job.thread_bytes());
  if (!scratch) return Status::no_memory;
  job.run_together(scratch, threads);
  give_scratch_back(scratch);
  return Status::ok;
}

}  // namespace fastconv
