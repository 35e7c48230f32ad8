#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "../act.h"
#include "bias_act_kernel.h"
#include "tensors.h"

namespace shoegen {

namespace {

constexpr int64_t kGrain = 32768;  // elements that are worth a thread

// The bias repeated to a length that is worth a loop, and where it lies along the memory of `model`.
template <typename C>
std::vector<C> lay_bias(BiasAct<C>& op, const std::optional<Tensor>& b, const Tensor& model, int64_t dim) {
  op.bias = nullptr, op.run = 1, op.period = 1;
  if (!b.has_value()) return {};
  STD_TORCH_CHECK(dim >= 0 && dim < model.dim(), "bias_act: dim is out of range");
  STD_TORCH_CHECK(b->dim() == 1 && b->numel() == model.size(dim), "bias_act: the bias has another size than x");
  std::vector<C> bias = numbers<C>(*b, "bias_act");
  const int64_t channels = bias.size();
  op.run = channels > 1 ? model.stride(dim) : 1;
  if (op.run == 1)
    for (int64_t i = 0; int64_t(bias.size()) < 256; i++) bias.push_back(bias[i % channels]);
  if (op.run == 1) bias.resize(bias.size() / channels * channels);
  op.period = bias.size();
  op.bias = bias.data();
  return bias;
}

template <typename C>
BiasAct<C> options(const std::string& act, double alpha, double gain, std::optional<double> clamp) {
  BiasAct<C> op{};
  op.act = activation(act);
  op.alpha = alpha;
  op.gain = gain;
  op.limit = clamp.value_or(std::numeric_limits<double>::infinity());
  return op;
}

Tensor bias_act_cpu(
    const Tensor& x,
    const std::optional<Tensor>& b,
    int64_t dim,
    const std::string& act,
    double alpha,
    double gain,
    std::optional<double> clamp) {
  Tensor y = torch::stable::empty_like(x);
  if (x.numel() == 0) return y;
  const bool dense = is_dense(x);
  if (!dense) torch::stable::copy_(y, x);
  with_number(x.scalar_type(), "bias_act", [&](auto zero) {
    using T = decltype(zero);
    auto op = options<computing<T>>(act, alpha, gain, clamp);
    const auto bias = lay_bias(op, b, y, dim);
    const T* from = data<T>(dense ? x : y);
    T* to = mutable_data<T>(y);
    torch::stable::parallel_for(0, x.numel(), kGrain, [&](int64_t begin, int64_t end) {
      SHOEGEN_PICK(bias_act<T>)(op, from, to, begin, end);
    });
  });
  return y;
}

Tensor bias_act_backward_cpu(
    const Tensor& dy,
    const Tensor& kept,
    const std::optional<Tensor>& b,
    int64_t dim,
    const std::string& act,
    double alpha,
    double gain,
    std::optional<double> clamp) {
  STD_TORCH_CHECK(dy.scalar_type() == kept.scalar_type(), "bias_act_backward: dy has another type than the result");
  Tensor dx = torch::stable::empty_like(kept);
  if (kept.numel() == 0) return dx;
  const Tensor dy_like = laid_out_as(dy, dx), kept_like = laid_out_as(kept, dx);
  with_number(kept.scalar_type(), "bias_act_backward", [&](auto zero) {
    using T = decltype(zero);
    auto op = options<computing<T>>(act, alpha, gain, clamp);
    const auto bias = lay_bias(op, b, dx, dim);
    const T *from = data<T>(dy_like), *at = data<T>(kept_like);
    T* to = mutable_data<T>(dx);
    torch::stable::parallel_for(0, kept.numel(), kGrain, [&](int64_t begin, int64_t end) {
      SHOEGEN_PICK(bias_act_backward<T>)(op, from, at, to, begin, end);
    });
  });
  return dx;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CPU, m) {
  m.impl("bias_act", TORCH_BOX(&shoegen::bias_act_cpu));
  m.impl("bias_act_backward", TORCH_BOX(&shoegen::bias_act_backward_cpu));
}
