// The activations by name, as the schemas have them.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <string>

namespace shoegen {

enum class Act : int;

inline Act activation(const std::string& name) {
  const char* names[] = {"linear", "relu", "lrelu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish"};
  for (int i = 0; i < 9; i++)
    if (name == names[i]) return Act(i);
  STD_TORCH_CHECK(false, "unknown activation ", name);
}

inline Act piecewise_linear(const std::string& name) {
  STD_TORCH_CHECK(name == "linear" || name == "relu" || name == "lrelu", "expected linear, relu or lrelu, got ", name);
  return activation(name);
}

}  // namespace shoegen
