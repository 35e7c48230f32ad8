#include "layer_epilogue_kernel.h"

#include "exp.h"
// after exp.h, whose functions it takes
#include "../activation.h"

namespace shoegen::SHOEGEN_ISA {

namespace {

// What all numbers of a row share, or one for each.
template <typename C>
struct Same {
  C value;
  C operator[](int64_t) const { return value; }
};

template <typename A, typename T, typename Scale, typename Noise, typename Bias, typename C = computing<T>>
void row(const LayerEpilogue<C>& op, const T* x, Scale scale, Noise noise, Bias bias, T* y, int64_t n) {
  const C alpha = op.alpha, gain = op.gain, limit = op.limit;
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    y[i] = store<T>(activate<A>(scale[i] * load(x[i]) + (noise[i] + bias[i]), alpha, gain, limit));
}

// f(numbers), or f(the number that stands for none)
template <typename C, typename F>
void given_or(const C* numbers, C none, F f) {
  if (numbers)
    f(numbers);
  else
    f(Same<C>{none});
}

}  // namespace

template <typename T>
void layer_epilogue(const LayerEpilogue<computing<T>>& op, const T* x, T* y, int64_t begin, int64_t end) {
  using C = computing<T>;
  with_piecewise_linear(op.act, [&](auto act) {
    using A = decltype(act);
    for (int64_t r = begin; r < end; r++) {
      const int64_t sample = r / (op.channels_last ? op.pixels : op.channels);
      const C* scale = op.scale ? op.scale + sample * op.channels : nullptr;
      const C* noise = op.noise ? op.noise + sample * op.noise_stride : nullptr;
      if (op.channels_last) {
        const C there = noise ? noise[r % op.pixels] : C(0);
        const T* from = x + r * op.channels;
        given_or(scale, C(1), [&](auto s) {
          given_or(op.bias, C(0), [&](auto b) {
            row<A>(op, from, s, Same<C>{there}, b, y + r * op.channels, op.channels);
          });
        });
      } else {
        const int64_t channel = r % op.channels;
        const Same<C> s{scale ? scale[channel] : C(1)}, b{op.bias ? op.bias[channel] : C(0)};
        given_or(noise, C(0), [&](auto n) { row<A>(op, x + r * op.pixels, s, n, b, y + r * op.pixels, op.pixels); });
      }
    }
  });
}

#define INSTANTIATE(T) \
  template void layer_epilogue<T>(const LayerEpilogue<computing<T>>&, const T*, T*, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace shoegen::SHOEGEN_ISA
