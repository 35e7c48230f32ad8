// The passes over whole images that a layer's backward makes besides its convolutions. Images are NHWC with channels
// in multiples of 16; a pass goes over pixels begin…end of one sample and adds up its share of the sums over pixels.

#include "conv_layer_kernel.h"

namespace SHOEGEN_ISA {
namespace {

typedef float Vec __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int64_t kLanes = 16, kBlock = 32;  // pixels that stay in the first level of cache

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec splat(float v) { return Vec{v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v}; }
inline float total(Vec v) {
  float sum = 0;
  for (int i = 0; i < kLanes; i++) sum += v[i];
  return sum;
}

// `each(pixel of the block, its place, channel, sums over channels)` for all of them, channel by channel.
template <class Start, class Each, class Stop>
inline void blocks(int64_t channels, int64_t begin, int64_t end, float* over_channels, const Start& start,
                   const Each& each, const Stop& stop) {
  for (int64_t first = begin; first < end; first += kBlock) {
    const int64_t count = end - first < kBlock ? end - first : kBlock;
    Vec pixel_sums[kBlock] = {};
    for (int64_t c = 0; c < channels; c += kLanes) {
      auto state = start(c);
      for (int64_t i = 0; i < count; i++) each(state, first + i, (first + i) * channels + c, pixel_sums[i]);
      stop(state, c);
    }
    if (over_channels)
      for (int64_t i = 0; i < count; i++) over_channels[first + i] = total(pixel_sums[i]);
  }
}

}  // namespace

// du = dy · slope of the epilogue at y; sums (2, C): Σ du and Σ (dy · y within the clamp − du · noise).
void layer_backward(const Epilogue& e, const float* dy, const float* y, int64_t channels, float* du, float* over_channels,
                    float* sums, int64_t begin, int64_t end) {
  struct State {
    Vec du, q;
  };
  const Vec positive = splat(e.gain), negative = splat(e.gain * e.slope), zero{};
  blocks(
      channels, begin, end, over_channels, [](int64_t) { return State{}; },
      [&](State& sum, int64_t pixel, int64_t at, Vec& pixel_sum) {
        const Vec value = load(y + at);
        Vec gradient = load(dy + at);
        if (e.clamp >= 0) gradient = (value < e.clamp) & (value > -e.clamp) ? gradient : zero;
        const Vec out = gradient * (value > 0 ? positive : negative);
        store(du + at, out);
        sum.du += out;
        sum.q += gradient * value;
        if (e.noise) sum.q -= out * e.noise[pixel];
        pixel_sum += out;
      },
      [&](const State& sum, int64_t c) {
        store(sums + c, load(sums + c) + sum.du);
        store(sums + channels + c, load(sums + channels + c) + sum.q);
      });
}

// Its adjoint, for gradients g_du (image), g_bias and g_q (C), g_noise (pixels); all but g_du may be none:
//   g_dy = slope · (g_du + g_bias + g_noise − g_q · noise) + g_q · y,   g_y = g_q · dy,   Σ_c −g_q · du
void layer_backward_adjoint(const Epilogue& e, const float* g_du, const float* g_bias, const float* g_q,
                            const float* g_noise, const float* dy, const float* y, int64_t channels, float* g_dy,
                            float* g_y, float* over_channels, int64_t begin, int64_t end) {
  struct State {
    Vec bias, q;
  };
  const Vec positive = splat(e.gain), negative = splat(e.gain * e.slope), zero{};
  blocks(
      channels, begin, end, over_channels,
      [&](int64_t c) { return State{g_bias ? load(g_bias + c) : zero, g_q ? load(g_q + c) : zero}; },
      [&](const State& g, int64_t pixel, int64_t at, Vec& pixel_sum) {
        const Vec value = load(y + at), gradient = load(dy + at);
        Vec slope = value > 0 ? positive : negative, one = splat(1);
        if (e.clamp >= 0) {
          const auto within = (value < e.clamp) & (value > -e.clamp);
          slope = within ? slope : zero;
          one = within ? one : zero;
        }
        Vec sum = g.bias;
        if (g_du) sum += load(g_du + at);
        if (g_noise) sum += splat(g_noise[pixel]);
        if (e.noise) sum -= g.q * e.noise[pixel];
        store(g_dy + at, slope * sum + g.q * value * one);
        store(g_y + at, g.q * gradient * one);
        pixel_sum -= g.q * gradient * slope;
      },
      [](const State&, int64_t) {});
}

// p = s · t, sums (C): Σ t · x
void scale_dot(const float* t, const float* s, const float* x, int64_t channels, float* p, float* sums, int64_t begin,
               int64_t end) {
  struct State {
    Vec s, sum;
  };
  blocks(
      channels, begin, end, nullptr, [&](int64_t c) { return State{load(s + c), Vec{}}; },
      [&](State& state, int64_t, int64_t at, Vec&) {
        const Vec value = load(t + at);
        store(p + at, value * state.s);
        state.sum += value * load(x + at);
      },
      [&](const State& state, int64_t c) { store(sums + c, load(sums + c) + state.sum); });
}

// Its adjoint: g_t = s · g_p + g_q · x, g_x = g_q · t, sums (C): Σ g_p · t
void scale_dot_adjoint(const float* g_p, const float* g_q, const float* t, const float* s, const float* x,
                       int64_t channels, float* g_t, float* g_x, float* sums, int64_t begin, int64_t end) {
  struct State {
    Vec s, q, sum;
  };
  blocks(
      channels, begin, end, nullptr, [&](int64_t c) { return State{load(s + c), load(g_q + c), Vec{}}; },
      [&](State& state, int64_t, int64_t at, Vec&) {
        const Vec value = load(t + at), gradient = load(g_p + at);
        store(g_t + at, gradient * state.s + state.q * load(x + at));
        store(g_x + at, value * state.q);
        state.sum += value * gradient;
      },
      [&](const State& state, int64_t c) { store(sums + c, load(sums + c) + state.sum); });
}

}  // namespace SHOEGEN_ISA
