#pragma once

#include "isa.h"
#include "number.h"

namespace shoegen {

// The filter is a sum of `terms` outer products, one for a separable filter. It correlates.
template <typename C>
struct Upfirdn {
  int64_t channels, in_height, in_width, out_height, out_width;
  int64_t inner;                                     // channels that lie together at a pixel; else 1
  int64_t image_stride, channel_stride, row_stride;  // of x
  int64_t up_x, up_y, down_x, down_y, left, top;
  int64_t terms, taps_x, taps_y;
  const C* fx;  // (terms, taps_x)
  const C* fy;  // (terms, taps_y)
  int64_t period_x, step_x;  // output columns r, r + period, … read input columns c(r), c(r) + step, …
  int64_t block;             // output columns that are made at a time, a multiple of the period
  int64_t scratch_columns;   // numbers that the columns of a block take

  void plan(int64_t common) {
    period_x = up_x / common, step_x = down_x / common;
    const int64_t fitting = inner < 128 ? 4096 / inner : 32;  // fits caches; the edges of blocks are made twice
    block = fitting < period_x ? period_x : fitting / period_x * period_x;
    const int64_t width = out_width < block ? out_width : block;
    scratch_columns = (((width - 1) * down_x + taps_x) / up_x + 2 + step_x) * inner;
  }
};

// What the outputs r, r + period, … sum.
template <typename C>
struct Reads {
  int64_t count;
  int64_t* offsets;
  C* weights;
};

// Where a call works.
template <typename C>
struct Scratch {
  C *columns, *parts;  // `scratch_columns` each
  C* sums;             // (block + period) · inner
  Reads<C>* reads;     // terms · period, of taps_x each
};

SHOEGEN_DECLARE(
  // Output rows begin … end − 1, counted through all images, and through all channels where inner is 1.
  template <typename T>
  void upfirdn2d(
      const Upfirdn<computing<T>>&, const T* x, T* y, const Scratch<computing<T>>&, int64_t begin, int64_t end);
)

}  // namespace shoegen
