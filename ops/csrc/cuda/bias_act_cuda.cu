#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "number.cuh"
// after number.cuh, whose functions it takes
#include "../activation.h"

#include "../act.h"
#include "tensors.cuh"

namespace shoegen {

namespace {

constexpr int kThreads = 256;

template <typename T>
struct BiasAct {
  computing<T> alpha, gain, limit;
  const T* bias;          // null for none
  int64_t channels, run;  // element i of memory has the bias (i / run) % channels
};

// The biases of the elements i … i + count − 1, where few divisions find them.
template <int count, typename T>
__device__ __forceinline__ void biases(const BiasAct<T>& op, int64_t i, computing<T>* out) {
  if (!op.bias || op.run % count == 0) {
    const computing<T> one = op.bias ? load(op.bias[(i / op.run) % op.channels]) : 0;
#pragma unroll
    for (int k = 0; k < count; k++) out[k] = one;
  } else {
#pragma unroll
    for (int k = 0; k < count; k++) out[k] = load(op.bias[((i + k) / op.run) % op.channels]);
  }
}

template <typename A, typename T, int count>
__global__ void __launch_bounds__(kThreads) forward(BiasAct<T> op, const T* x, T* y, int64_t packs) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t p = int64_t(blockIdx.x) * kThreads + threadIdx.x; p < packs; p += step) {
    const Pack<T, count> in = reinterpret_cast<const Pack<T, count>*>(x)[p];
    Pack<T, count> out;
    computing<T> bias[count];
    biases<count>(op, p * count, bias);
#pragma unroll
    for (int k = 0; k < count; k++)
      out.at[k] = store<T>(activate<A>(load(in.at[k]) + bias[k], op.alpha, op.gain, op.limit));
    reinterpret_cast<Pack<T, count>*>(y)[p] = out;
  }
}

template <typename A, typename T, int count>
__global__ void __launch_bounds__(kThreads)
    backward(BiasAct<T> op, const T* dy, const T* kept, T* dx, int64_t packs) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  // What is kept was rounded to T, so the limit has to be; without one, comparisons are to be false.
  const computing<T> limit = isinf(op.limit) ? computing<T>(NAN) : load(store<T>(op.limit));
  for (int64_t p = int64_t(blockIdx.x) * kThreads + threadIdx.x; p < packs; p += step) {
    const Pack<T, count> g = reinterpret_cast<const Pack<T, count>*>(dy)[p];
    const Pack<T, count> at = reinterpret_cast<const Pack<T, count>*>(kept)[p];
    Pack<T, count> out;
    computing<T> bias[count];
    biases<count>(op, p * count, bias);
#pragma unroll
    for (int k = 0; k < count; k++)
      out.at[k] = store<T>(load(g.at[k]) * slope_at<A>(load(at.at[k]) + bias[k], op.alpha, op.gain, limit));
    reinterpret_cast<Pack<T, count>*>(dx)[p] = out;
  }
}

template <typename T>
BiasAct<T> options(
    const std::optional<Tensor>& b, const Tensor& model, int64_t dim, double alpha, double gain,
    std::optional<double> clamp) {
  using C = computing<T>;
  const C limit = clamp.value_or(std::numeric_limits<double>::infinity());
  BiasAct<T> op{C(alpha), C(gain), limit, nullptr, 1, 1};
  if (!b.has_value()) return op;
  STD_TORCH_CHECK(dim >= 0 && dim < model.dim(), "bias_act: dim is out of range");
  STD_TORCH_CHECK(
      b->dim() == 1 && b->numel() == model.size(dim) && b->is_contiguous() && b->is_cuda() &&
          b->scalar_type() == model.scalar_type(),
      "bias_act: the bias must be one contiguous row of x's type, as long as x along dim");
  op.bias = data<T>(*b);
  op.channels = b->numel();
  op.run = op.channels > 1 ? model.stride(dim) : 1;
  return op;
}

// f(count) with as many numbers as a load of 16 bytes takes, where all pointers and the size allow it; else one.
template <typename T, typename F>
void with_packs(int64_t n, std::initializer_list<const void*> pointers, F f) {
  constexpr int count = 16 / sizeof(T);
  bool packed = n % count == 0;
  for (const void* pointer : pointers) packed = packed && is_aligned(pointer, 16);
  if (packed)
    f(std::integral_constant<int, count>());
  else
    f(std::integral_constant<int, 1>());
}

Tensor bias_act_cuda(
    const Tensor& x, const std::optional<Tensor>& b, int64_t dim, const std::string& act, double alpha, double gain,
    std::optional<double> clamp) {
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  Tensor y = torch::stable::empty_like(x);
  if (x.numel() == 0) return y;
  const bool dense = is_dense(x);
  if (!dense) torch::stable::copy_(y, x);
  with_number(x.scalar_type(), "bias_act", [&](auto zero) {
    using T = decltype(zero);
    const auto op = options<T>(b, y, dim, alpha, gain, clamp);
    const T* from = data<T>(dense ? x : y);
    T* to = mutable_data<T>(y);
    with_packs<T>(x.numel(), {from, to}, [&](auto count) {
      const int64_t packs = x.numel() / count;
      with_activation(activation(act), [&](auto a) {
        forward<decltype(a), T, count><<<blocks_for(packs, kThreads), kThreads, 0, stream_of(x)>>>(op, from, to, packs);
      });
    });
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return y;
}

Tensor bias_act_backward_cuda(
    const Tensor& dy, const Tensor& kept, const std::optional<Tensor>& b, int64_t dim, const std::string& act,
    double alpha, double gain, std::optional<double> clamp) {
  STD_TORCH_CHECK(dy.scalar_type() == kept.scalar_type(), "bias_act_backward: dy has another type than the result");
  const torch::stable::accelerator::DeviceGuard guard(kept.get_device_index());
  Tensor dx = torch::stable::empty_like(kept);
  if (kept.numel() == 0) return dx;
  const Tensor dy_like = laid_out_as(dy, dx), kept_like = laid_out_as(kept, dx);
  with_number(kept.scalar_type(), "bias_act_backward", [&](auto zero) {
    using T = decltype(zero);
    const auto op = options<T>(b, dx, dim, alpha, gain, clamp);
    const T *from = data<T>(dy_like), *at = data<T>(kept_like);
    T* to = mutable_data<T>(dx);
    with_packs<T>(kept.numel(), {from, at, to}, [&](auto count) {
      const int64_t packs = kept.numel() / count;
      with_activation(activation(act), [&](auto a) {
        backward<decltype(a), T, count>
            <<<blocks_for(packs, kThreads), kThreads, 0, stream_of(kept)>>>(op, from, at, to, packs);
      });
    });
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return dx;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CUDA, m) {
  m.impl("bias_act", TORCH_BOX(&shoegen::bias_act_cuda));
  m.impl("bias_act_backward", TORCH_BOX(&shoegen::bias_act_backward_cuda));
}
