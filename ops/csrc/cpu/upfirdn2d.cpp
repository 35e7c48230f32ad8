#include <cmath>
#include <limits>
#include <numeric>

#include "tensors.h"
#include "upfirdn2d_kernel.h"

namespace shoegen {

namespace {

constexpr int64_t kGrain = 16384;  // output elements that are worth a thread

// The filter as it correlates, split into outer products.
template <typename C>
struct Taps {
  int64_t width, height, terms = 1;
  std::vector<C> fx, fy;

  Taps(const Tensor& f, bool flip_filter, double gain) : width(f.size(f.dim() - 1)), height(f.size(0)) {
    std::vector<double> taps = numbers<double>(f, "upfirdn2d");
    if (!flip_filter) std::reverse(taps.begin(), taps.end());
    if (f.dim() == 1) {
      fy.assign(taps.begin(), taps.end());
      fx = fy;
    } else {
      split(taps);
    }
    for (C& tap : fx) tap *= C(gain);
  }

 private:
  void split(const std::vector<double>& taps) {
    const auto largest = std::max_element(
        taps.begin(), taps.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    const int64_t row = (largest - taps.begin()) / width, column = (largest - taps.begin()) % width;
    const double tolerance = 4 * std::numeric_limits<C>::epsilon() * std::abs(*largest);
    bool separable = *largest != 0;
    for (int64_t i = 0; i < height && separable; i++)
      for (int64_t j = 0; j < width; j++) {
        const double product = taps[i * width + column] * taps[row * width + j] / *largest;
        separable = separable && std::abs(taps[i * width + j] - product) <= tolerance;
      }
    if (separable) {
      for (int64_t i = 0; i < height; i++) fy.push_back(taps[i * width + column] / *largest);
      for (int64_t j = 0; j < width; j++) fx.push_back(taps[row * width + j]);
      return;
    }
    terms = height;
    fx.assign(taps.begin(), taps.end());
    fy.assign(height * height, 0);
    for (int64_t i = 0; i < height; i++) fy[i * height + i] = 1;
  }
};

template <typename C>
struct Room {
  std::vector<C> numbers, weights;
  std::vector<int64_t> offsets;
  std::vector<Reads<C>> reads;
  Scratch<C> scratch;

  explicit Room(const Upfirdn<C>& op)
      : numbers(2 * op.scratch_columns + (op.block + op.period_x) * op.inner),
        weights(op.terms * op.period_x * op.taps_x),
        offsets(weights.size()),
        reads(op.terms * op.period_x) {
    for (size_t i = 0; i < reads.size(); i++) reads[i] = {0, &offsets[i * op.taps_x], &weights[i * op.taps_x]};
    C* sums = numbers.data() + 2 * op.scratch_columns;
    scratch = {numbers.data(), numbers.data() + op.scratch_columns, sums, reads.data()};
  }
};

Tensor upfirdn2d_cpu(
    const Tensor& x,
    const Tensor& f,
    const std::vector<int64_t>& up,
    const std::vector<int64_t>& down,
    const std::vector<int64_t>& padding,
    bool flip_filter,
    double gain) {
  STD_TORCH_CHECK(x.dim() == 4, "upfirdn2d: x must be (N, C, H, W)");
  STD_TORCH_CHECK(f.dim() >= 1 && f.dim() <= 2 && f.numel() > 0, "upfirdn2d: the filter must be (h, w) or (n,)");
  STD_TORCH_CHECK(
      up.size() == 2 && down.size() == 2 && padding.size() == 4 && up[0] > 0 && up[1] > 0 && down[0] > 0 && down[1] > 0,
      "upfirdn2d: up and down must be two positive numbers, padding four numbers");
  const bool last = is_channels_last(x);
  const Tensor from = last || x.size(3) <= 1 || x.stride(3) == 1 ? x : torch::stable::contiguous(x);
  const int64_t taps_x = f.size(f.dim() - 1), taps_y = f.size(0);
  const int64_t height = x.size(2) * up[1] + padding[2] + padding[3], width = x.size(3) * up[0] + padding[0] + padding[1];
  STD_TORCH_CHECK(height >= taps_y && width >= taps_x, "upfirdn2d: the padded image is smaller than the filter");
  const int64_t out_height = (height - taps_y) / down[1] + 1, out_width = (width - taps_x) / down[0] + 1;
  Tensor y = empty_image(x, x.size(0), x.size(1), out_height, out_width);
  if (y.numel() == 0) return y;

  with_number(x.scalar_type(), "upfirdn2d", [&](auto zero) {
    using T = decltype(zero);
    using C = computing<T>;
    const Taps<C> taps(f, flip_filter, gain);
    Upfirdn<C> op{};
    op.channels = x.size(1);
    op.in_height = x.size(2), op.in_width = x.size(3), op.out_height = out_height, op.out_width = out_width;
    op.inner = last ? x.size(1) : 1;
    op.image_stride = from.stride(0), op.channel_stride = from.stride(1), op.row_stride = from.stride(2);
    op.up_x = up[0], op.up_y = up[1], op.down_x = down[0], op.down_y = down[1];
    op.left = padding[0], op.top = padding[2];
    op.terms = taps.terms, op.taps_x = taps_x, op.taps_y = taps_y;
    op.fx = taps.fx.data(), op.fy = taps.fy.data();
    op.plan(std::gcd(op.up_x, op.down_x));

    const int64_t rows = y.numel() / (out_width * op.inner);
    const int64_t grain = std::max<int64_t>(1, kGrain / (out_width * op.inner));
    const T* source = data<T>(from);
    T* target = mutable_data<T>(y);
    torch::stable::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) {
      Room<C> room(op);
      SHOEGEN_PICK(upfirdn2d<T>)(op, source, target, room.scratch, begin, end);
    });
  });
  return y;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CPU, m) {
  m.impl("upfirdn2d", TORCH_BOX(&shoegen::upfirdn2d_cpu));
}
