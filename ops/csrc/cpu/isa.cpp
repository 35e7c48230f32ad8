#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace shoegen {

static int find_isa() {
  int level = 1;
#ifdef SHOEGEN_X86_64
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) {
    level = 3;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
      level = 4;
  }
  const char* limit = std::getenv("ATEN_CPU_CAPABILITY");
  if (limit && std::strcmp(limit, "default") == 0) level = 1;
  if (limit && std::strcmp(limit, "avx2") == 0 && level > 3) level = 3;
#endif
  return level;
}

int isa() {
  static const int level = find_isa();
  return level;
}

}  // namespace shoegen

extern "C" __attribute__((visibility("default"))) int shoegen_isa() { return shoegen::isa(); }
