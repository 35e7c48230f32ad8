// Runs the CUDA kernels of upfirdn2d on the CPU, one thread after the other from barrier to barrier.
#include <vector>

#include "cpu/number.h"
// after the numbers that it computes with
#include "cuda/upfirdn2d.cuh"

using namespace shoegen;

template <int up, int down, int known_taps>
void tiled(const Upfirdn& op, const double* x, const double* f, double* y, int planes) {
  const int tiles = (op.out_width + kTileWidth - 1) / kTileWidth * ((op.out_height + kTileHeight - 1) / kTileHeight);
  for (int plane = 0; plane < planes; plane++)
    for (int index = 0; index < tiles; index++) {
      const Tile tile(op, index);
      const double* image = x + plane / op.channels * op.image_stride + plane % op.channels * op.channel_stride;
      std::vector<double> taps(2 * op.taps_x * op.taps_y), inputs(tile.rows * tile.columns);
      std::vector<double> across(tile.rows * kTileWidth);
      for (int t = 0; t < kTileThreads; t++) fetch(op, tile, image, f, taps.data(), inputs.data(), t);
      if (op.separable)
        for (int t = 0; t < kTileThreads; t++)
          filter_rows<up, down>(op, tile, taps.data(), inputs.data(), across.data(), t);
      double* out = y + int64_t(plane) * op.out_height * op.out_width;
      for (int t = 0; t < kTileThreads; t++)
        filter_tile<up, down, known_taps>(
            op, tile, taps.data(), inputs.data(), across.data(), t,
            [&](int ox, int oy, double value) { out[int64_t(oy) * op.out_width + ox] = value; });
    }
}

template <int count, bool channels_last>
void direct(const Upfirdn& op, const double* x, const double* f, double* y, int64_t outputs) {
  for (uint32_t i = 0; i < outputs; i += count)
    filter_directly<double, count, channels_last, uint32_t>(op, x, f, i, y + i);
}

// kernel: 0 tiled, 1 tiled for four taps, 2 direct, 3 direct on channels_last, 4 the same in pairs of channels
extern "C" void run(int kernel, const int* n, const int64_t* strides, double gain, const double* x, const double* f,
                    double* y, int images) {
  const Upfirdn op{n[0],       n[1],       n[2],  n[3],  n[4],  strides[0], strides[1], strides[2], strides[3],
                   n[5],       n[6],       n[7],  n[8],  n[9],  n[10],      n[11],      n[12],      n[13] != 0,
                   n[14] != 0, gain};
  const int planes = images * op.channels;
  const int64_t outputs = int64_t(planes) * op.out_height * op.out_width;
  if (kernel == 2) return direct<1, false>(op, x, f, y, outputs);
  if (kernel == 3) return direct<1, true>(op, x, f, y, outputs);
  if (kernel == 4) return direct<2, true>(op, x, f, y, outputs);
  if (kernel == 0 && op.up_x == 2) return tiled<2, 1, 0>(op, x, f, y, planes);
  if (kernel == 0 && op.down_x == 2) return tiled<1, 2, 0>(op, x, f, y, planes);
  if (kernel == 0) return tiled<1, 1, 0>(op, x, f, y, planes);
  if (op.up_x == 2) return tiled<2, 1, 4>(op, x, f, y, planes);
  if (op.down_x == 2) return tiled<1, 2, 4>(op, x, f, y, planes);
  return tiled<1, 1, 4>(op, x, f, y, planes);
}
