// Number types of the CUDA kernels: what is stored, and what is computed with.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

namespace shoegen {

template <typename T>
struct Computing {
  using type = float;
};
template <>
struct Computing<double> {
  using type = double;
};
// float for float, half and bfloat16, double for double.
template <typename T>
using computing = typename Computing<T>::type;

__device__ __forceinline__ float load(float value) { return value; }
__device__ __forceinline__ double load(double value) { return value; }
__device__ __forceinline__ float load(__half value) { return __half2float(value); }
__device__ __forceinline__ float load(__nv_bfloat16 value) { return __bfloat162float(value); }

template <typename T>
__device__ __forceinline__ T store(computing<T> value) {
  if constexpr (__is_same(T, __half))
    return __float2half(value);
  else if constexpr (__is_same(T, __nv_bfloat16))
    return __float2bfloat16(value);
  else
    return value;
}

// What the activations are made of.
__device__ __forceinline__ float exp_minus_1(float x) { return expm1f(x); }
__device__ __forceinline__ double exp_minus_1(double x) { return expm1(x); }
__device__ __forceinline__ float log_1_plus(float x) { return log1pf(x); }
__device__ __forceinline__ double log_1_plus(double x) { return log1p(x); }

// So many numbers as one load or store takes.
template <typename T, int count>
struct alignas(sizeof(T) * count) Pack {
  T at[count];
};

}  // namespace shoegen
