#include <limits>
#include <optional>
#include <string>

#include "../act.h"
#include "layer_epilogue_kernel.h"
#include "tensors.h"

namespace shoegen {

namespace {

constexpr int64_t kGrain = 32768;  // elements that are worth a thread

Tensor layer_epilogue_cpu(
    const Tensor& any_x, const std::optional<Tensor>& scale, const std::optional<Tensor>& noise,
    const std::optional<Tensor>& bias, const std::string& act, double alpha, double gain, std::optional<double> clamp) {
  check_layer_epilogue(any_x, scale, noise, bias);
  Tensor y = empty_image(any_x, any_x.size(0), any_x.size(1), any_x.size(2), any_x.size(3));
  if (y.numel() == 0) return y;
  const bool last = is_channels_last(any_x);
  const Tensor x = last ? any_x : torch::stable::contiguous(any_x);
  with_number(x.scalar_type(), "layer_epilogue", [&](auto zero) {
    using T = decltype(zero);
    using C = computing<T>;
    const auto row = [](const std::optional<Tensor>& t) {
      return t ? numbers<C>(*t, "layer_epilogue") : std::vector<C>();
    };
    const std::vector<C> scales = row(scale), noises = row(noise), biases = row(bias);
    LayerEpilogue<C> op{};
    op.act = piecewise_linear(act);
    op.alpha = alpha, op.gain = gain, op.limit = clamp.value_or(std::numeric_limits<double>::infinity());
    op.scale = scale ? scales.data() : nullptr;
    op.noise = noise ? noises.data() : nullptr;
    op.bias = bias ? biases.data() : nullptr;
    op.channels = x.size(1), op.pixels = x.size(2) * x.size(3), op.channels_last = last;
    op.noise_stride = noise && noise->size(0) > 1 ? op.pixels : 0;
    const int64_t length = last ? op.channels : op.pixels;
    const T* from = data<T>(x);
    T* to = mutable_data<T>(y);
    torch::stable::parallel_for(
        0, x.numel() / length, std::max<int64_t>(1, kGrain / length),
        [&](int64_t begin, int64_t end) { SHOEGEN_PICK(layer_epilogue<T>)(op, from, to, begin, end); });
  });
  return y;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CPU, m) {
  m.impl("layer_epilogue", TORCH_BOX(&shoegen::layer_epilogue_cpu));
}
