// What conv_layer.cpp calls; channels are multiples of 16, images NHWC.
#pragma once
#include <cstdint>
#include "isa.h"

enum ConvMode { kSame = 0, kUp = 1, kDown = 2 };

struct Epilogue {  // clamp(gain · lrelu(scale · value + noise + bias))
  const float* scale;  // (N, C) or none
  const float* noise;  // (N or 1, H, W) or none
  int64_t noise_stride;
  const float* bias;  // (C,) or none
  float slope, gain, clamp;  // clamp < 0: none
};

struct Grid {  // 4 × 4 tiles of the small image
  int64_t samples, height, width, down, across;
};

inline int64_t pixels_of(int64_t height) { return height + 1; }

SHOEGEN_DECLARE(
  void conv_pack_weight(int, const float*, int64_t, int64_t, int64_t, int64_t, bool, float*, int64_t, int64_t);
  void conv_unpack_weight(int, const float*, int64_t, int64_t, int64_t, int64_t, bool, float*, int64_t, int64_t);
  void conv_tiles(int, const Grid&, const float*, int64_t, const float*, const float*, int64_t, const Epilogue&, float*, int64_t, int64_t, int64_t, float*);
  void conv_tiles_up(const Grid&, const float*, int64_t, const float*, const float*, int64_t, float*, int64_t, int64_t, int64_t, float*);
  void conv_edge_up(const Grid&, bool, const float*, int64_t, const float*, const float*, int64_t, float*, int64_t, float*);
  void conv_edge_weight(const Grid&, bool, int, bool, const float*, int64_t, const float*, const float*, int64_t, float*, int64_t, float*);
  void conv_both_to_planes(int, const Grid&, const float*, int64_t, const float*, const float*, int64_t, const float*, int64_t, int64_t, float*, float*, int64_t, int64_t);
  void conv_weight_products(int, const float*, int64_t, const float*, int64_t, int64_t, float*, bool, int64_t, int64_t);
  void fir_rows(const float*, int64_t, int64_t, int64_t, const float*, const Epilogue&, float*, int64_t, int64_t, float*);
  void fir_rows_adjoint(const float*, int64_t, int64_t, int64_t, const float*, const float*, float*, int64_t, int64_t, float*);
  void layer_backward(const Epilogue&, const float*, const float*, int64_t, float*, float*, float*, int64_t, int64_t);
  void layer_backward_adjoint(const Epilogue&, const float*, const float*, const float*, const float*, const float*, const float*, int64_t, float*, float*, float*, int64_t, int64_t);
  void scale_dot(const float*, const float*, const float*, int64_t, float*, float*, int64_t, int64_t);
  void scale_dot_adjoint(const float*, const float*, const float*, const float*, const float*, int64_t, float*, float*, float*, int64_t, int64_t);
)
