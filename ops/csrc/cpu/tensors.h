// What the glue between PyTorch's tensors and the CPU kernels shares.
#pragma once

#include "../layout.h"
#include "number.h"

namespace shoegen {

using torch::headeronly::ScalarType;

// Calls f(T()) with the T that is stored in a tensor of this type.
template <typename F>
auto with_number(ScalarType type, const char* op, F f) {
  switch (type) {
    case ScalarType::Float: return f(float());
    case ScalarType::Double: return f(double());
    case ScalarType::BFloat16: return f(bfloat16());
    default: STD_TORCH_CHECK(false, op, ": expected float32, float64 or bfloat16");
  }
}

// Its numbers, as they are computed with.
template <typename C>
std::vector<C> numbers(const Tensor& t, const char* op) {
  const Tensor whole = torch::stable::contiguous(t);
  return with_number(t.scalar_type(), op, [&](auto zero) {
    const auto* values = data<decltype(zero)>(whole);
    std::vector<C> result(whole.numel());
    std::transform(values, values + whole.numel(), result.begin(), [](auto v) { return C(load(v)); });
    return result;
  });
}

}  // namespace shoegen
