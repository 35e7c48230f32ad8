#pragma once

#include "isa.h"
#include "number.h"

namespace shoegen {

enum class Act : int;

template <typename C>
struct BiasAct {
  Act act;
  C alpha, gain;
  C limit;          // of the result; infinity for none
  const C* bias;    // null, or `period` numbers
  int64_t period;   // element i of memory has the bias (i / run) % period
  int64_t run;
};

SHOEGEN_DECLARE(
  // y[i] = clamp(gain · act(x[i] + bias)) for begin <= i < end
  template <typename T>
  void bias_act(const BiasAct<computing<T>>&, const T* x, T* y, int64_t begin, int64_t end);

  // dx[i] = dy[i] · the slope at kept[i], which is y, or x for swish
  template <typename T>
  void bias_act_backward(
      const BiasAct<computing<T>>&, const T* dy, const T* kept, T* dx, int64_t begin, int64_t end);
)

}  // namespace shoegen
