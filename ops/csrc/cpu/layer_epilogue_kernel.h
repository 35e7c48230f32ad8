#pragma once

#include "isa.h"
#include "number.h"

namespace shoegen {

enum class Act : int;

template <typename C>
struct LayerEpilogue {
  Act act;
  C alpha, gain, limit;  // infinity for no limit
  const C *scale, *noise, *bias;  // (N, C), (N or 1, pixels), (C,), or null
  int64_t channels, pixels, noise_stride;
  bool channels_last;
};

SHOEGEN_DECLARE(
  // y = clamp(gain · act(scale · x + noise + bias)) in the rows begin … end − 1 of memory: channels of an image, or
  // pixels where channels lie together.
  template <typename T>
  void layer_epilogue(const LayerEpilogue<computing<T>>&, const T* x, T* y, int64_t begin, int64_t end);
)

}  // namespace shoegen
