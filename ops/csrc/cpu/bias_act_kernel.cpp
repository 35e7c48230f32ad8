#include "bias_act_kernel.h"

#include "exp.h"
// after exp.h, whose functions it takes
#include "../activation.h"

namespace shoegen::SHOEGEN_ISA {

namespace {

// The bias of the elements of a stretch of memory: one for all, or one each.
template <typename C>
struct OneBias {
  C value;
  C operator[](int64_t) const { return value; }
};

template <typename A, typename T, typename Bias, typename C = computing<T>>
void forward_run(const BiasAct<C>& op, const T* x, Bias bias, T* y, int64_t n) {
  const C alpha = op.alpha, gain = op.gain, limit = op.limit;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = store<T>(activate<A>(load(x[i]) + bias[i], alpha, gain, limit));
}

template <typename A, typename T, typename Bias, typename C = computing<T>>
void backward_run(const BiasAct<C>& op, const T* dy, const T* kept, Bias bias, T* dx, int64_t n) {
  const C alpha = op.alpha, gain = op.gain;
  // What is kept was rounded to T, so the limit has to be; without one, comparisons are to be false.
  const C limit = op.limit < C(__builtin_inff()) ? load(store<T>(op.limit)) : C(__builtin_nanf(""));
#pragma omp simd
  for (int64_t i = 0; i < n; i++)
    dx[i] = store<T>(load(dy[i]) * slope_at<A>(load(kept[i]) + bias[i], alpha, gain, limit));
}

// Calls f(bias, first, count) for the stretches of memory between `begin` and `end` whose bias is simple.
template <typename C, typename F>
void stretches(const BiasAct<C>& op, int64_t begin, int64_t end, F f) {
  if (!op.bias) return f(OneBias<C>{0}, begin, end - begin);
  for (int64_t i = begin; i < end;) {
    const int64_t place = (i / op.run) % op.period;
    const int64_t stop = op.run == 1 ? i + op.period - place : (i / op.run + 1) * op.run;
    const int64_t n = (stop < end ? stop : end) - i;
    if (op.run == 1)
      f(op.bias + place, i, n);
    else
      f(OneBias<C>{op.bias[place]}, i, n);
    i += n;
  }
}

}  // namespace

template <typename T>
void bias_act(const BiasAct<computing<T>>& op, const T* x, T* y, int64_t begin, int64_t end) {
  with_activation(op.act, [&](auto act) {
    stretches(op, begin, end, [&](auto bias, int64_t i, int64_t n) {
      forward_run<decltype(act)>(op, x + i, bias, y + i, n);
    });
  });
}

template <typename T>
void bias_act_backward(
    const BiasAct<computing<T>>& op, const T* dy, const T* kept, T* dx, int64_t begin, int64_t end) {
  with_activation(op.act, [&](auto act) {
    stretches(op, begin, end, [&](auto bias, int64_t i, int64_t n) {
      backward_run<decltype(act)>(op, dy + i, kept + i, bias, dx + i, n);
    });
  });
}

#define INSTANTIATE(T)                                                                                  \
  template void bias_act<T>(const BiasAct<computing<T>>&, const T*, T*, int64_t, int64_t);              \
  template void bias_act_backward<T>(                                                                   \
      const BiasAct<computing<T>>&, const T*, const T*, T*, int64_t, int64_t);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)

}  // namespace shoegen::SHOEGEN_ISA
