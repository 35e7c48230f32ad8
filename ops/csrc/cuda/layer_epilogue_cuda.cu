#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "number.cuh"
// after number.cuh, whose functions it takes
#include "../activation.h"

#include "../act.h"
#include "tensors.cuh"

namespace shoegen {

namespace {

constexpr int kThreads = 256;

template <typename T>
struct LayerEpilogue {
  computing<T> alpha, gain, limit;
  const T *scale, *noise, *bias;  // (N, C), (N or 1, pixels), (C,), or null
  int64_t channels, pixels, noise_stride;
};

// y = clamp(gain · act(scale · x + noise + bias)), `count` numbers at a time: pixels of one channel, or channels of one
// pixel.
template <typename A, typename T, int count, bool channels_last>
__global__ void __launch_bounds__(kThreads) layer_epilogue(LayerEpilogue<T> op, const T* x, T* y, int64_t packs) {
  using C = computing<T>;
  const int64_t step = int64_t(gridDim.x) * kThreads, inner = channels_last ? op.channels : op.pixels;
  for (int64_t p = int64_t(blockIdx.x) * kThreads + threadIdx.x; p < packs; p += step) {
    const int64_t row = p * count / inner, first = p * count % inner;
    const int64_t sample = row / (channels_last ? op.pixels : op.channels);
    const int64_t channel = channels_last ? first : row % op.channels, pixel = channels_last ? row % op.pixels : first;
    const Pack<T, count> in = reinterpret_cast<const Pack<T, count>*>(x)[p];
    Pack<T, count> out;
#pragma unroll
    for (int k = 0; k < count; k++) {
      const int64_t c = channels_last ? channel + k : channel, at = channels_last ? pixel : pixel + k;
      const C scale = op.scale ? load(op.scale[sample * op.channels + c]) : C(1);
      const C noise = op.noise ? load(op.noise[sample * op.noise_stride + at]) : C(0);
      const C bias = op.bias ? load(op.bias[c]) : C(0);
      out.at[k] = store<T>(activate<A>(scale * load(in.at[k]) + (noise + bias), op.alpha, op.gain, op.limit));
    }
    reinterpret_cast<Pack<T, count>*>(y)[p] = out;
  }
}

Tensor layer_epilogue_cuda(
    const Tensor& any_x, const std::optional<Tensor>& any_scale, const std::optional<Tensor>& any_noise,
    const std::optional<Tensor>& any_bias, const std::string& act, double alpha, double gain,
    std::optional<double> clamp) {
  check_layer_epilogue(any_x, any_scale, any_noise, any_bias);
  const torch::stable::accelerator::DeviceGuard guard(any_x.get_device_index());
  Tensor y = empty_image(any_x, any_x.size(0), any_x.size(1), any_x.size(2), any_x.size(3));
  if (y.numel() == 0) return y;
  const bool last = is_channels_last(any_x);
  const Tensor x = last ? any_x : torch::stable::contiguous(any_x);
  const auto dense = [](const std::optional<Tensor>& t) {
    return t ? std::optional<Tensor>(torch::stable::contiguous(*t)) : std::nullopt;
  };
  const auto scale = dense(any_scale), noise = dense(any_noise), bias = dense(any_bias);
  with_number(x.scalar_type(), "layer_epilogue", [&](auto zero) {
    using T = decltype(zero);
    using C = computing<T>;
    const auto pointer = [](const std::optional<Tensor>& t) { return t ? data<T>(*t) : nullptr; };
    const int64_t pixels = x.size(2) * x.size(3);
    const LayerEpilogue<T> op{
        C(alpha), C(gain), C(clamp.value_or(std::numeric_limits<double>::infinity())),
        pointer(scale), pointer(noise), pointer(bias),
        x.size(1), pixels, noise && noise->size(0) > 1 ? pixels : 0};
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    constexpr int most = 16 / sizeof(T);
    const bool packed = (last ? op.channels : op.pixels) % most == 0 && is_aligned(from, 16) && is_aligned(to, 16);
    const auto launch = [&](auto count, auto channels_last) {
      const int64_t packs = x.numel() / count;
      with_piecewise_linear(piecewise_linear(act), [&](auto a) {
        layer_epilogue<decltype(a), T, count, channels_last>
            <<<blocks_for(packs, kThreads), kThreads, 0, stream_of(x)>>>(op, from, to, packs);
      });
    };
    using all = std::integral_constant<int, most>;
    using one = std::integral_constant<int, 1>;
    if (packed && last)
      launch(all(), std::true_type());
    else if (packed)
      launch(all(), std::false_type());
    else if (last)
      launch(one(), std::true_type());
    else
      launch(one(), std::false_type());
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return y;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CUDA, m) {
  m.impl("layer_epilogue", TORCH_BOX(&shoegen::layer_epilogue_cuda));
}
