// One kernel source, compiled once for each instruction set (see build.py), each in a namespace of its own.
//
// A kernel file uses no inline function of the standard library or PyTorch: the linker keeps one copy of such
// a function, and it could be the one with instructions that this processor lacks.
#pragma once

#ifdef SHOEGEN_X86_64

#define SHOEGEN_DECLARE(...)       \
  namespace generic { __VA_ARGS__ } \
  namespace v3 { __VA_ARGS__ }      \
  namespace v4 { __VA_ARGS__ }

// The name of a declared kernel → the one for this processor.
#define SHOEGEN_PICK(...) \
  (shoegen::isa() == 4 ? v4::__VA_ARGS__ : shoegen::isa() == 3 ? v3::__VA_ARGS__ : generic::__VA_ARGS__)

#else

#define SHOEGEN_DECLARE(...) namespace generic { __VA_ARGS__ }
#define SHOEGEN_PICK(...) generic::__VA_ARGS__

#endif

namespace shoegen {

// The x86-64 level whose kernels are run: 4 (AVX-512), 3 (AVX2) or 1. ATEN_CPU_CAPABILITY lowers it, as it does
// PyTorch's own: default, avx2.
int isa();

}  // namespace shoegen
