// Exponentials without branches, so that loops around them vectorise; float to about 1e-7 of the result.
#pragma once

#include <cstdint>

namespace shoegen {

static inline double exp_minus_1(double x) { return __builtin_expm1(x); }
static inline double log_1_plus(double x) { return __builtin_log1p(x); }

// exp(x) − 1 = 2^n (exp(r) − 1) + (2^n − 1) with |r| <= ln(2) / 2: no digits are lost where x is small.
static inline float exp_minus_1(float x) {
  const float bounded = x < -87.f ? -87.f : x > 88.37f ? 88.37f : x;
  const float shift = 12582912.f;  // 1.5 · 2^23: adding it rounds to a whole number
  const float n = (bounded * 1.44269504f + shift) - shift;
  const float r = (bounded - n * 0.693359375f) + n * 2.12194440e-4f;
  float tail = 1.f / 5040;
  tail = tail * r + 1.f / 720;
  tail = tail * r + 1.f / 120;
  tail = tail * r + 1.f / 24;
  tail = tail * r + 1.f / 6;
  tail = tail * r + 1.f / 2;
  const float whole = __builtin_bit_cast(float, (int32_t(n) + 127) << 23);
  const float result = whole * (r + r * r * tail) + (whole - 1);
  return x > 88.37f ? __builtin_inff() : x == x ? result : x;
}

// ln(1 + x) = 2 artanh(s) with s = x / (2 + x), for 0 <= x <= 1.
static inline float log_1_plus(float x) {
  const float s = x / (2 + x), q = s * s;
  float sum = 1.f / 17;
  sum = sum * q + 1.f / 15;
  sum = sum * q + 1.f / 13;
  sum = sum * q + 1.f / 11;
  sum = sum * q + 1.f / 9;
  sum = sum * q + 1.f / 7;
  sum = sum * q + 1.f / 5;
  sum = sum * q + 1.f / 3;
  return 2 * s + 2 * s * q * sum;
}

}  // namespace shoegen
