// Activations for the CPU and CUDA kernels. Who includes this has `exp_minus_1` and `log_1_plus` for its numbers.
#pragma once

#ifdef __CUDACC__
#define SHOEGEN_FUNCTION __device__ __forceinline__
#else
#define SHOEGEN_FUNCTION inline
#endif

namespace shoegen {

enum class Act : int { linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus, swish };

namespace {  // each translation unit has its own: they are compiled for several instruction sets

// forward(z) → u;  slope(u) → du/dz, read off u.

struct Linear {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) { return z; }
  template <typename C> static SHOEGEN_FUNCTION C slope(C, C) { return 1; }
};
struct ReLU {  // lets a NaN through, which 0 · z would make of an infinity
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) { return z < 0 ? C(0) : z; }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) { return u > 0 ? C(1) : C(0); }
};
struct LeakyReLU {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C alpha) { return z > 0 ? z : z * alpha; }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C alpha) { return u > 0 ? C(1) : alpha; }
};
struct Tanh {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) {
    const C t = exp_minus_1(-2 * (z < 0 ? -z : z));
    const C u = -t / (2 + t);
    return z < 0 ? -u : u;
  }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) { return 1 - u * u; }
};
struct Sigmoid {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) { return 1 / (2 + exp_minus_1(-z)); }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) { return u * (1 - u); }
};
struct ELU {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) { return z > 0 ? z : exp_minus_1(z); }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) { return u > 0 ? C(1) : u + 1; }
};
struct SELU {
  static constexpr double scale = 1.0507009873554804934193349852946;
  static constexpr double alpha = 1.6732632423543772848170429916717;
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) {
    return C(scale) * (z > 0 ? z : C(alpha) * exp_minus_1(z));
  }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) {
    return u > 0 ? C(scale) : u + C(scale * alpha);
  }
};
struct Softplus {
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) {
    const C rest = log_1_plus(1 + exp_minus_1(z < 0 ? z : -z));
    return z > 20 ? z : (z > 0 ? z : C(0)) + rest;  // torch's, too, is linear from 20 on
  }
  template <typename C> static SHOEGEN_FUNCTION C slope(C u, C) { return -exp_minus_1(-u); }
};
struct Swish {  // not monotonic: its slope is read off z
  template <typename C> static SHOEGEN_FUNCTION C forward(C z, C) { return z / (2 + exp_minus_1(-z)); }
};

// clamp(gain · act(z))
template <typename A, typename C>
SHOEGEN_FUNCTION C activate(C z, C alpha, C gain, C limit) {
  const C v = gain * A::forward(z, alpha);
  return v < -limit ? -limit : v > limit ? limit : v;
}

// d activate / dz where the result is `kept`, or, for swish, where z is; `limit` is NaN where there is none.
template <typename A, typename C>
SHOEGEN_FUNCTION C slope_at(C kept, C alpha, C gain, C limit) {
  C y = kept, slope;
  if constexpr (__is_same(A, Swish)) {
    const C s = 1 / (2 + exp_minus_1(-kept));
    y = gain * kept * s;
    slope = gain * s * (1 + kept * (1 - s));
  } else {
    slope = gain * A::slope(kept / gain, alpha);
  }
  return (y < 0 ? -y : y) >= limit ? C(0) : slope;
}

// f(A()) with the activation's type A
template <typename F>
void with_activation(Act act, F f) {
  switch (act) {
    case Act::linear: return f(Linear());
    case Act::relu: return f(ReLU());
    case Act::lrelu: return f(LeakyReLU());
    case Act::tanh: return f(Tanh());
    case Act::sigmoid: return f(Sigmoid());
    case Act::elu: return f(ELU());
    case Act::selu: return f(SELU());
    case Act::softplus: return f(Softplus());
    case Act::swish: return f(Swish());
  }
}

// The same for those whose result tells du · u, see ops/layer_epilogue.py; does nothing for others.
template <typename F>
void with_piecewise_linear(Act act, F f) {
  switch (act) {
    case Act::linear: return f(Linear());
    case Act::relu: return f(ReLU());
    case Act::lrelu: return f(LeakyReLU());
    default: return;
  }
}

}  // namespace

}  // namespace shoegen
