// How tensors lie in memory; on any device.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace shoegen {

using torch::stable::Tensor;

template <typename T>
const T* data(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}
template <typename T>
T* mutable_data(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// Whether the tensor fills one stretch of memory, its dimensions in any order.
inline bool is_dense(const Tensor& t) {
  std::vector<int64_t> dims;
  for (int64_t i = 0; i < t.dim(); i++)
    if (t.size(i) > 1) dims.push_back(i);
  std::sort(dims.begin(), dims.end(), [&](int64_t a, int64_t b) { return t.stride(a) < t.stride(b); });
  int64_t expected = 1;
  for (int64_t i : dims) {
    if (t.stride(i) != expected) return false;
    expected *= t.size(i);
  }
  return true;
}

inline bool same_layout(const Tensor& a, const Tensor& b) {
  for (int64_t i = 0; i < a.dim(); i++)
    if (a.size(i) != b.size(i) || (a.size(i) > 1 && a.stride(i) != b.stride(i))) return false;
  return a.dim() == b.dim();
}

// `t` itself, or a copy that lies in memory as `model`, which is dense, does.
inline Tensor laid_out_as(const Tensor& t, const Tensor& model) {
  if (same_layout(t, model)) return t;
  Tensor copy = torch::stable::empty_like(model);
  return torch::stable::copy_(copy, t);
}

// As torch's `is_contiguous(memory_format=torch.channels_last)` and not plainly contiguous, of (N, C, H, W).
inline bool is_channels_last(const Tensor& t) {
  if (t.is_contiguous()) return false;
  int64_t expected = 1;
  for (int64_t i : {1, 3, 2, 0}) {
    if (t.size(i) > 1 && t.stride(i) != expected) return false;
    expected *= t.size(i);
  }
  return true;
}

// A new image that lies in memory as `like` does: channels_last, or plainly contiguous.
inline Tensor empty_image(const Tensor& like, int64_t n, int64_t c, int64_t h, int64_t w) {
  using torch::headeronly::MemoryFormat;
  const int64_t shape[] = {n, c, h, w};
  return torch::stable::empty(
      {shape, 4}, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
      is_channels_last(like) ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

inline void check_layer_epilogue(
    const Tensor& x, const std::optional<Tensor>& scale, const std::optional<Tensor>& noise,
    const std::optional<Tensor>& bias) {
  STD_TORCH_CHECK(x.dim() == 4, "layer_epilogue: x must be (N, C, H, W)");
  STD_TORCH_CHECK(
      !scale || (scale->dim() == 2 && scale->size(0) == x.size(0) && scale->size(1) == x.size(1)),
      "layer_epilogue: the scale must be (N, C)");
  STD_TORCH_CHECK(
      !noise || (noise->dim() == 4 && (noise->size(0) == 1 || noise->size(0) == x.size(0)) && noise->size(1) == 1 &&
                 noise->size(2) == x.size(2) && noise->size(3) == x.size(3)),
      "layer_epilogue: the noise must be (N or 1, 1, H, W)");
  STD_TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == x.size(1)), "layer_epilogue: the bias must be (C,)");
  for (const auto* t : {&scale, &noise, &bias})
    STD_TORCH_CHECK(
        !*t || ((*t)->scalar_type() == x.scalar_type() && (*t)->device() == x.device()),
        "layer_epilogue: all tensors must have one type and device");
}

}  // namespace shoegen
