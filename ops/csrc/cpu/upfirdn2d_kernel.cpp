#include "upfirdn2d_kernel.h"

namespace shoegen::SHOEGEN_ISA {

namespace {

// Every pass here, downwards and across, is a weighted sum of rows. The `runs` runs of `n` numbers lie
// `out_step` apart in the sum and `in_step` apart in the rows.
template <typename C>
struct Target {
  C* out;
  int64_t n, runs, out_step, in_step;
};

template <int count, bool add, typename In, typename C>
void combine_few(const Target<C>& to, const In* const* rows, const C* weights) {
  static_assert(1 <= count && count <= 4);
  constexpr int k1 = count > 1 ? 1 : 0, k2 = count > 2 ? 2 : 0, k3 = count > 3 ? 3 : 0;
  const C w0 = weights[0], w1 = weights[k1], w2 = weights[k2], w3 = weights[k3];
  for (int64_t run = 0; run < to.runs; run++) {
    const int64_t offset = run * to.in_step;
    const In *r0 = rows[0] + offset, *r1 = rows[k1] + offset, *r2 = rows[k2] + offset, *r3 = rows[k3] + offset;
    C* out = to.out + run * to.out_step;
#pragma omp simd
    for (int64_t i = 0; i < to.n; i++) {
      C sum = add ? out[i] + w0 * load(r0[i]) : w0 * load(r0[i]);
      if constexpr (count > 1) sum += w1 * load(r1[i]);
      if constexpr (count > 2) sum += w2 * load(r2[i]);
      if constexpr (count > 3) sum += w3 * load(r3[i]);
      out[i] = sum;
    }
  }
}

// Collects rows and combines them four at a time.
template <typename In, typename C>
class Sum {
 public:
  Sum(const Target<C>& to, bool add) : to_(to), add_(add) {}

  void operator()(const In* row, C weight) {
    if (count_ == 4) flush();
    rows_[count_] = row;
    weights_[count_++] = weight;
  }

  void done() {
    if (count_) return flush();
    if (add_) return;
    for (int64_t run = 0; run < to_.runs; run++)
      for (int64_t i = 0; i < to_.n; i++) to_.out[run * to_.out_step + i] = 0;
  }

 private:
  void flush() {
    if (add_)
      combine<true>();
    else
      combine<false>();
    add_ = true;
    count_ = 0;
  }

  template <bool add>
  void combine() {
    switch (count_) {
      case 1: return combine_few<1, add>(to_, rows_, weights_);
      case 2: return combine_few<2, add>(to_, rows_, weights_);
      case 3: return combine_few<3, add>(to_, rows_, weights_);
      case 4: return combine_few<4, add>(to_, rows_, weights_);
    }
  }

  Target<C> to_;
  bool add_;
  int count_ = 0;
  const In* rows_[4];
  C weights_[4];
};

inline int64_t ceil_divide(int64_t a, int64_t b) { return a / b + (a % b > 0); }
inline int64_t modulo(int64_t a, int64_t b) { return ((a % b) + b) % b; }

// Output columns x … x + width − 1, and the input columns that they are made of.
struct Block {
  int64_t x, width, first, columns;

  template <typename C>
  Block(const Upfirdn<C>& op, int64_t x, int64_t width) : x(x), width(width) {
    const int64_t place = x * op.down_x - op.left;  // of the first tap, on the upsampled axis
    first = ceil_divide(place, op.up_x);
    columns = ceil_divide(place + (width - 1) * op.down_x + op.taps_x, op.up_x) - first;
  }
};

template <typename C>
void zero(C* out, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = 0;
}

// A row of the block's columns, filtered downwards; zeros where the image does not reach.
template <typename T, typename C>
void filter_down(const Upfirdn<C>& op, const Block& block, const T* image, int64_t y, const C* fy, C* columns) {
  const int64_t end = block.first + block.columns;
  int64_t from = block.first > 0 ? block.first : 0, to = end < op.in_width ? end : op.in_width;
  if (from >= to) from = to = end;
  zero(columns, (from - block.first) * op.inner);
  zero(columns + (to - block.first) * op.inner, (end - to) * op.inner);
  Sum<T, C> sum({columns + (from - block.first) * op.inner, (to - from) * op.inner, 1, 0, 0}, false);
  const int64_t place = y * op.down_y - op.top;
  int64_t k = 0, row = place;
  if (op.up_y > 1) k = modulo(-place, op.up_y), row = (place + k) / op.up_y;
  for (; k < op.taps_y; k += op.up_y, row++)
    if (row >= 0 && row < op.in_height && fy[k] != 0) sum(image + row * op.row_stride + from * op.inner, fy[k]);
  sum.done();
}

// Where the outputs r, r + period, … of a block find what they sum, for each r: `count` offsets and weights.
template <typename C>
void plan_across(const Upfirdn<C>& op, const Block& block, int64_t length, const C* fx, Reads<C>* reads) {
  for (int64_t r = 0; r < op.period_x; r++) {
    const int64_t place = (block.x + r) * op.down_x - op.left;
    reads[r].count = 0;
    for (int64_t k = modulo(-place, op.up_x); k < op.taps_x; k += op.up_x) {
      const int64_t column = (place + k) / op.up_x - block.first;
      reads[r].weights[reads[r].count] = fx[k];
      reads[r].offsets[reads[r].count++] =
          op.inner > 1 ? column * op.inner : (column % op.step_x) * length + column / op.step_x;
    }
  }
}

// Doubling with 4 taps where channels lie together: both outputs of a pixel at once, written in the order of memory.
template <typename C>
void double_pixels(const Upfirdn<C>& op, const Block& block, const C* columns, const Reads<C>* reads, C* sums) {
  const C a0 = reads[0].weights[0], a1 = reads[0].weights[1], b0 = reads[1].weights[0], b1 = reads[1].weights[1];
  const int64_t n = op.inner;
  for (int64_t t = 0; t < block.width / 2; t++) {
    const C* at = columns + t * n;
    const C *pa0 = at + reads[0].offsets[0], *pa1 = at + reads[0].offsets[1];
    const C *pb0 = at + reads[1].offsets[0], *pb1 = at + reads[1].offsets[1];
    C* out = sums + 2 * t * n;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
      out[i] = a0 * pa0[i] + a1 * pa1[i];
      out[n + i] = b0 * pb0[i] + b1 * pb1[i];
    }
  }
}

// Where channels lie together, outputs r, r + period, … of a block are runs of channels. Else they come to lie side
// by side from `sums + r · stride` on, and the columns have been dealt into `step` parts so that they do, too.
template <typename C>
void filter_across(
    const Upfirdn<C>& op, const Block& block, const C* columns, const Reads<C>* reads, C* sums, int64_t stride, bool add) {
  for (int64_t r = 0; r < op.period_x && r < block.width; r++) {
    const int64_t count = op.period_x == 1 ? block.width : (block.width - r + op.period_x - 1) / op.period_x;
    Target<C> to{sums + r * stride, count, 1, 0, 0};
    if (op.inner > 1) {
      to = {sums + r * op.inner, op.inner, count, op.period_x * op.inner, op.step_x * op.inner};
      if (op.period_x == 1 && op.step_x == 1) to = {sums, count * op.inner, 1, 0, 0};
    }
    Sum<C, C> sum(to, add);
    for (int64_t j = 0; j < reads[r].count; j++) sum(columns + reads[r].offsets[j], reads[r].weights[j]);
    sum.done();
  }
}

// to[s · length + t] = from[step · t + s]
template <typename C>
void deal(const C* from, C* to, int64_t step, int64_t length) {
  if (step == 2) {
#pragma omp simd
    for (int64_t t = 0; t < length; t++) {
      to[t] = from[2 * t];
      to[length + t] = from[2 * t + 1];
    }
    return;
  }
  for (int64_t s = 0; s < step; s++)
    for (int64_t t = 0; t < length; t++) to[s * length + t] = from[step * t + s];
}

// out[period · t + r] = from[r · stride + t]
template <typename T, typename C>
void interleave(const C* from, int64_t stride, int64_t period, T* out, int64_t n) {
  if (period == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) out[i] = store<T>(from[i]);
    return;
  }
  if (period == 2) {
    const C* odd = from + stride;
#pragma omp simd
    for (int64_t t = 0; t < n / 2; t++) {
      out[2 * t] = store<T>(from[t]);
      out[2 * t + 1] = store<T>(odd[t]);
    }
    if (n % 2) out[n - 1] = store<T>(from[n / 2]);
    return;
  }
  for (int64_t i = 0; i < n; i++) out[i] = store<T>(from[(i % period) * stride + i / period]);
}

}  // namespace

template <typename T>
void upfirdn2d(
    const Upfirdn<computing<T>>& op, const T* x, T* y, const Scratch<computing<T>>& scratch, int64_t begin,
    int64_t end) {
  using C = computing<T>;
  const bool dealt = op.inner == 1 && op.step_x > 1;
  const bool pixels_double = op.inner > 1 && op.terms == 1 && op.up_x == 2 && op.down_x == 1 && op.taps_x == 4;
  const bool in_place = sizeof(T) == sizeof(C) && (op.inner > 1 || op.period_x == 1);

  // Blocks start at multiples of the period: what one reads, counted from its first column, all read.
  const Block widest(op, 0, op.out_width < op.block ? op.out_width : op.block);
  const int64_t length = (widest.columns + op.step_x - 1) / op.step_x;
  for (int64_t term = 0; term < op.terms; term++)
    plan_across(op, widest, length, op.fx + term * op.taps_x, scratch.reads + term * op.period_x);

  int64_t plane = begin / op.out_height, out_y = begin % op.out_height;
  for (int64_t row = begin; row < end; row++) {
    const T* image = op.inner > 1
        ? x + plane * op.image_stride
        : x + (plane / op.channels) * op.image_stride + (plane % op.channels) * op.channel_stride;
    for (int64_t first = 0; first < op.out_width; first += op.block) {
      const int64_t left = op.out_width - first;
      const Block block(op, first, left < op.block ? left : op.block);
      const int64_t stride = (block.width + op.period_x - 1) / op.period_x;
      T* out = y + (row * op.out_width + first) * op.inner;
      C* sums = in_place ? (C*)out : scratch.sums;
      for (int64_t term = 0; term < op.terms; term++) {
        const Reads<C>* reads = scratch.reads + term * op.period_x;
        filter_down(op, block, image, out_y, op.fy + term * op.taps_y, scratch.columns);
        if (dealt) deal(scratch.columns, scratch.parts, op.step_x, length);
        if (pixels_double && block.width % 2 == 0)
          double_pixels(op, block, scratch.columns, reads, sums);
        else
          filter_across(op, block, dealt ? scratch.parts : scratch.columns, reads, sums, stride, term > 0);
      }
      if (!in_place) interleave(sums, stride, op.inner > 1 ? 1 : op.period_x, out, block.width * op.inner);
    }
    if (++out_y == op.out_height) out_y = 0, plane++;
  }
}

#define INSTANTIATE(T) \
  template void upfirdn2d<T>( \
      const Upfirdn<computing<T>>&, const T*, T*, const Scratch<computing<T>>&, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace shoegen::SHOEGEN_ISA
