// What the glue between PyTorch's tensors and the CUDA kernels shares.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cuda_runtime.h>

#include <algorithm>

#include "../layout.h"
#include "number.cuh"

namespace shoegen {

using torch::headeronly::ScalarType;

// Calls f(T()) with the T that is stored in a tensor of this type.
template <typename F>
void with_number(ScalarType type, const char* op, F f) {
  switch (type) {
    case ScalarType::Float: return f(float());
    case ScalarType::Double: return f(double());
    case ScalarType::Half: return f(__half());
    case ScalarType::BFloat16: return f(__nv_bfloat16());
    default: STD_TORCH_CHECK(false, op, ": expected float32, float64, float16 or bfloat16");
  }
}

inline cudaStream_t stream_of(const Tensor& t) {
  void* stream = nullptr;
  const auto failed = aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream);
  STD_TORCH_CHECK(!failed, "PyTorch did not tell its CUDA stream");
  return static_cast<cudaStream_t>(stream);
}

// Blocks for `n` pieces of work in a loop that strides over the grid.
inline unsigned blocks_for(int64_t n, int64_t threads) {
  return unsigned(std::min<int64_t>((n + threads - 1) / threads, 1 << 20));
}

inline bool is_aligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

}  // namespace shoegen
