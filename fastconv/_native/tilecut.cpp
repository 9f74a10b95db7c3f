// Goes through all combinations of sides. A side longer than all the outputs with their halo is
// idle, one that gives less than an eighth of its points is never worth it.
#include "tilecut.hpp"

#include "sizes.hpp"

namespace fastconv {
namespace {

constexpr int least_log2 = 4, most_log2 = 10;
constexpr ptrdiff_t least_valid = 8;

// How one axis is cut.
struct Side {
  int log2;
  ptrdiff_t points, tiles;
  ptrdiff_t step;   // outputs of a tile
  ptrdiff_t reach;  // data that they read
};

struct Sides {
  Side side[most_log2 - least_log2 + 1];
  int count = 0;

  Sides(ptrdiff_t out, ptrdiff_t taps, ptrdiff_t multiple) {
    for (int log2 = least_log2; log2 <= most_log2; log2++) {
      const ptrdiff_t points = ptrdiff_t(1) << log2, valid = points - taps + 1;
      if (valid < min(points / least_valid, out) || valid < 1) continue;
      // Tiles of one size, so that what they transform is as small as it can be; whole vectors.
      ptrdiff_t step = ceil_div(out, ceil_div(out, valid));
      const ptrdiff_t whole = round_up(step, multiple);
      if (whole <= valid) step = whole;
      side[count++] = {log2, points, ceil_div(out, step), step, step + taps - 1};
      if (valid >= out) break;
    }
  }
};

// The tile that is looked at, axis by axis from the first.
struct Tile {
  ptrdiff_t points = 1, tiles = 1, reach = 1, step = 1;
  int log2 = 0;

  Tile with(const Side& s) const {
    Tile t = *this;
    t.points *= s.points;
    t.tiles *= s.tiles;
    t.reach *= s.reach;
    t.step *= s.step;
    t.log2 += s.log2;
    return t;
  }
};

class Search {
 public:
  Search(const TileTask& task, const TileCosts& costs, TileCut* best)
      : task_(task), costs_(costs), best_(best) {}

  bool run() {
    look(0, Tile());
    return found_;
  }

 private:
  void look(int axis, const Tile& before) {
    const bool last = axis + 1 == task_.axes || axis + 1 == MAX_TILE_AXES;
    const Sides sides(task_.out[axis], task_.taps[axis], last ? task_.lanes : 1);
    for (int i = 0; i < sides.count; i++) {
      chosen_[axis] = &sides.side[i];
      if (last)
        take(before, sides.side[i]);
      else
        look(axis + 1, before.with(sides.side[i]));
    }
  }

  void take(const Tile& before, const Side& last) {
    const ptrdiff_t points = before.points * last.points;
    if (points > task_.most_points) return;
    const ptrdiff_t pairs = ceil_div(task_.others * before.tiles * last.tiles, 2);
    // Columns that hold no data, or give no outputs, are not transformed along the other axes.
    const double share = double(last.reach + last.step) / double(last.points);
    const double flops = 5 * double(points) * (share * before.log2 + 2 * last.log2) /
                         rate_left(2 * points * task_.scalar_bytes);
    const double lines = 2 * double(before.reach + before.step);
    const double pair = flops * costs_.flop + lines * costs_.line;
    const double apart = double(ceil_div(pairs, costs_.cores)) * pair;
    const double together = double(pairs) * (pair / costs_.speedup + costs_.forks);
    const double seconds = apart < together ? apart : together;
    if (found_ && seconds >= seconds_) return;
    found_ = true;
    seconds_ = seconds;
    best_->pairs = pairs;
    best_->flops = flops;
    best_->lines = lines;
    for (int a = 0; a < task_.axes; a++) {
      best_->points[a] = chosen_[a]->points;
      best_->step[a] = chosen_[a]->step;
    }
  }

  double rate_left(ptrdiff_t bytes) const {
    int i = 0;
    while (i + 1 < costs_.level_count && bytes > costs_.levels[i].bytes) i++;
    return costs_.levels[i].share;
  }

  const TileTask& task_;
  const TileCosts& costs_;
  TileCut* best_;
  const Side* chosen_[MAX_TILE_AXES];
  double seconds_ = 0;
  bool found_ = false;
};

}  // namespace

bool cheapest_tiles(const TileTask& task, const TileCosts& costs, TileCut* best) {
  return Search(task, costs, best).run();
}

}  // namespace fastconv
