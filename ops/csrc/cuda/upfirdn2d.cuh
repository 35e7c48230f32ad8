// The parts of the upfirdn2d kernels between two barriers. Who includes this has `computing`, `load` and `store` for
// its numbers: the kernels, and a test that runs every thread in turn on the CPU.
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define SHOEGEN_DEVICE __device__ __forceinline__
#else
#define SHOEGEN_DEVICE inline
#endif

namespace shoegen {

struct Upfirdn {
  int channels, in_height, in_width, out_height, out_width;
  int64_t image_stride, channel_stride, row_stride, pixel_stride;  // of x; y is dense
  int up_x, up_y, down_x, down_y, left, top;
  int taps_x, taps_y;
  bool separable;  // the filter is (taps,), for both axes; else (taps_y, taps_x)
  bool flip_filter;
  double gain;
};

SHOEGEN_DEVICE int ceil_divide(int a, int b) { return a / b + (a % b > 0); }
SHOEGEN_DEVICE int modulo(int a, int b) { return ((a % b) + b) % b; }

// Tap (ky, kx) of the filter as it correlates, times the gain.
template <typename C>
SHOEGEN_DEVICE C tap(const Upfirdn& op, const C* f, int ky, int kx) {
  if (!op.flip_filter) ky = op.taps_y - 1 - ky, kx = op.taps_x - 1 - kx;
  return C(op.gain) * (op.separable ? f[ky] * f[kx] : f[ky * op.taps_x + kx]);
}

// Output i of memory and the `count` − 1 after it, which are other channels of its pixel; else count is 1.
template <typename T, int count, bool channels_last, typename Index>
SHOEGEN_DEVICE void filter_directly(const Upfirdn& op, const T* x, const computing<T>* f, Index i, computing<T>* sums) {
  int channel, out_x, out_y;
  Index rest = i;
  if constexpr (channels_last) {
    channel = int(rest % op.channels), rest /= op.channels;
    out_x = int(rest % op.out_width), rest /= op.out_width;
    out_y = int(rest % op.out_height), rest /= op.out_height;
  } else {
    out_x = int(rest % op.out_width), rest /= op.out_width;
    out_y = int(rest % op.out_height), rest /= op.out_height;
    channel = int(rest % op.channels), rest /= op.channels;
  }
  const T* image = x + int64_t(rest) * op.image_stride + channel * op.channel_stride;
  const int place_x = out_x * op.down_x - op.left, place_y = out_y * op.down_y - op.top;
  for (int k = 0; k < count; k++) sums[k] = 0;
  for (int ky = modulo(-place_y, op.up_y); ky < op.taps_y; ky += op.up_y) {
    const int row = (place_y + ky) / op.up_y;
    if (row < 0 || row >= op.in_height) continue;
    for (int kx = modulo(-place_x, op.up_x); kx < op.taps_x; kx += op.up_x) {
      const int column = (place_x + kx) / op.up_x;
      if (column < 0 || column >= op.in_width) continue;
      const T* at = image + row * op.row_stride + column * op.pixel_stride;
      const computing<T> weight = tap(op, f, ky, kx);
#ifdef __CUDACC__
      const Pack<T, count> pack = *reinterpret_cast<const Pack<T, count>*>(at);
#pragma unroll
      for (int k = 0; k < count; k++) sums[k] += weight * load(pack.at[k]);
#else
      for (int k = 0; k < count; k++) sums[k] += weight * load(at[k]);
#endif
    }
  }
}

// A tile of outputs of one channel, and the inputs that they are made of: `rows` · `columns` from (row, column) on.
constexpr int kTileWidth = 64, kTileHeight = 16, kTileThreads = 256;

struct Tile {
  int x, y, row, column, rows, columns;

  SHOEGEN_DEVICE Tile(const Upfirdn& op, int index) {
    const int across = (op.out_width + kTileWidth - 1) / kTileWidth;
    x = index % across * kTileWidth, y = index / across * kTileHeight;
    const int place_x = x * op.down_x - op.left, place_y = y * op.down_y - op.top;
    column = ceil_divide(place_x, op.up_x), row = ceil_divide(place_y, op.up_y);
    columns = ceil_divide(place_x + (kTileWidth - 1) * op.down_x + op.taps_x, op.up_x) - column;
    rows = ceil_divide(place_y + (kTileHeight - 1) * op.down_y + op.taps_y, op.up_y) - row;
  }
};

// Before the first barrier: thread `t` fetches its share of the taps and of the inputs, zeros outside the image.
template <typename T, typename C = computing<T>>
SHOEGEN_DEVICE void fetch(const Upfirdn& op, const Tile& tile, const T* image, const C* f, C* taps, C* inputs, int t) {
  if (op.separable) {
    for (int k = t; k < op.taps_x; k += kTileThreads) {
      taps[k] = f[op.flip_filter ? k : op.taps_x - 1 - k];
      taps[op.taps_x + k] = taps[k] * C(op.gain);  // down the columns
    }
  } else {
    for (int k = t; k < op.taps_x * op.taps_y; k += kTileThreads) taps[k] = tap(op, f, k / op.taps_x, k % op.taps_x);
  }
  for (int r = t / 32; r < tile.rows; r += kTileThreads / 32) {
    const int row = tile.row + r;
    const bool row_inside = row >= 0 && row < op.in_height;
    for (int c = t % 32; c < tile.columns; c += 32) {
      const int column = tile.column + c;
      const bool inside = row_inside && column >= 0 && column < op.in_width;
      inputs[r * tile.columns + c] = inside ? load(image[row * op.row_stride + column * op.pixel_stride]) : C(0);
    }
  }
}

// Σ taps[first + j · up] · values[j · stride]; `known_taps` is the number of taps where it is known, else 0.
template <int up, int known_taps, typename C>
SHOEGEN_DEVICE C dot(const C* taps, int count, int first, const C* values, int stride) {
  C sum = 0;
  if constexpr (known_taps > 0) {
    static_assert(known_taps % up == 0);
#pragma unroll
    for (int j = 0; j < known_taps / up; j++) sum += taps[first + j * up] * values[j * stride];
  } else {
    for (int k = first, j = 0; k < count; k += up, j++) sum += taps[k] * values[j * stride];
  }
  return sum;
}

// Separable, between the barriers: the fetched rows, filtered across: (rows, kTileWidth).
template <int up, int down, typename C>
SHOEGEN_DEVICE void filter_rows(const Upfirdn& op, const Tile& tile, const C* taps, const C* inputs, C* across, int t) {
  const int place = (tile.x + t % kTileWidth) * down - op.left;
  const int first = modulo(-place, up), column = (place + first) / up - tile.column;
  for (int r = t / kTileWidth; r < tile.rows; r += kTileThreads / kTileWidth)
    across[r * kTileWidth + t % kTileWidth] =
        dot<up, 0>(taps, op.taps_x, first, inputs + r * tile.columns + column, 1);
}

// After the last barrier: thread `t` computes its outputs, of which it calls write(x, y, value).
template <int up, int down, int known_taps, typename C, typename F>
SHOEGEN_DEVICE void filter_tile(
    const Upfirdn& op, const Tile& tile, const C* taps, const C* inputs, const C* across, int t, F write) {
  const int x = tile.x + t % kTileWidth;
  if (x >= op.out_width) return;
  const int place_x = x * down - op.left;
  const int first_x = modulo(-place_x, up), column = (place_x + first_x) / up - tile.column;
  for (int y = tile.y + t / kTileWidth; y < tile.y + kTileHeight && y < op.out_height; y += kTileThreads / kTileWidth) {
    const int place_y = y * down - op.top;
    const int first_y = modulo(-place_y, up), row = (place_y + first_y) / up - tile.row;
    C sum = 0;
    if (op.separable) {
      sum = dot<up, 0>(taps + op.taps_x, op.taps_x, first_y, across + row * kTileWidth + t % kTileWidth, kTileWidth);
    } else if constexpr (known_taps > 0) {
#pragma unroll
      for (int j = 0; j < known_taps / up; j++)
        sum += dot<up, known_taps>(
            taps + (first_y + j * up) * known_taps, known_taps, first_x, inputs + (row + j) * tile.columns + column, 1);
    } else {
      for (int k = first_y, j = 0; k < op.taps_y; k += up, j++)
        sum += dot<up, 0>(taps + k * op.taps_x, op.taps_x, first_x, inputs + (row + j) * tile.columns + column, 1);
    }
    write(x, y, sum);
  }
}

}  // namespace shoegen
