// Number types of the kernels: what is stored, and what is computed with.
#pragma once

#include <cstdint>

namespace shoegen {

struct bfloat16 {
  uint16_t bits;
};

template <typename T>
struct Computing {
  using type = float;
};
template <>
struct Computing<double> {
  using type = double;
};
// float for float and bfloat16, double for double.
template <typename T>
using computing = typename Computing<T>::type;

static inline float load(float value) { return value; }
static inline double load(double value) { return value; }
static inline float load(bfloat16 value) { return __builtin_bit_cast(float, uint32_t(value.bits) << 16); }

template <typename T>
static inline T store(computing<T> value) {
  if constexpr (sizeof(T) == 2) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
    const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
    return T{uint16_t(is_nan ? 0x7fc0 : rounded)};
  } else {
    return value;
  }
}

}  // namespace shoegen
