// 3 × 3 convolution by Winograd's minimal filtering (arXiv 1509.09308): tiles of the image are transformed, multiplied
// with transformed weights as 36 matrix products over all channels, and transformed back into the layer's epilogue.
//
// Along one axis, for 4 outputs of
//   same   y[m] = Σ_k w[k] x[m + k − 1]                                    F(4, 3): 6 products instead of 12
//   up     t[2m] = w[2] x[m − 1] + w[0] x[m],  t[2m + 1] = w[1] x[m]       F(4, 2) and 4: 9 instead of 12
//   down   y[m] = w[0] t[2m] + w[2] t[2m + 2] + w[1] t[2m + 1]             likewise
// Both axes: 36, 81 and 81 "planes", as one row of channels per tile each. Planes of the odd samples share a weight, so
// there are 36 weight matrices ("groups") in all three.

#include "conv_layer_kernel.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef SHOEGEN_ROWS  // of the block of the product that is held in registers, and its width in vectors
#if defined(__AVX512F__)
#define SHOEGEN_ROWS 12
#define SHOEGEN_VECTORS 2
#else
#define SHOEGEN_ROWS 5
#define SHOEGEN_VECTORS 1
#endif
#endif

namespace SHOEGEN_ISA {
namespace {

typedef float Vec __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int64_t kLanes = 16;
constexpr int64_t kPanel = SHOEGEN_VECTORS * kLanes;

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
// Past the caches, for what is read much later: needs an address in multiples of 64.
inline void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#else
  store(p, v);
#endif
}
// What was streamed is there for other threads from here on.
inline void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}
inline Vec splat(float v) { return Vec{v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v}; }
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

inline Vec finish(Vec value, const Epilogue& e) {
  if (e.slope != 1) value = value > 0 ? value : value * e.slope;
  if (e.gain != 1) value *= e.gain;
  if (e.clamp >= 0) {
    value = value > e.clamp ? splat(e.clamp) : value;
    value = value < -e.clamp ? splat(-e.clamp) : value;
  }
  return value;
}

// ---- matrix product ----

// C (ROWS, VECTORS vectors) (+)= A (ROWS, depth) · B (depth, VECTORS vectors)
template <int ROWS, int VECTORS>
inline void product_block(const float* a, int64_t a_row, int64_t a_step, const float* b, float* c, int64_t c_row,
                          int64_t depth, bool add) {
  Vec sum[ROWS][VECTORS];
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < VECTORS; j++) sum[i][j] = add ? load(c + i * c_row + j * kLanes) : Vec{};
  for (int64_t k = 0; k < depth; k++) {
    Vec row[VECTORS];
#pragma GCC unroll 8
    for (int j = 0; j < VECTORS; j++) row[j] = load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const Vec value = splat(a[i * a_row]);
#pragma GCC unroll 8
      for (int j = 0; j < VECTORS; j++) sum[i][j] += value * row[j];
    }
    a += a_step;
    b += VECTORS * kLanes;
  }
  for (int i = 0; i < ROWS; i++)
    for (int j = 0; j < VECTORS; j++) store(c + i * c_row + j * kLanes, sum[i][j]);
}

template <int VECTORS, int ROWS = SHOEGEN_ROWS>
inline void product_rest(int64_t rows, const float* a, int64_t a_row, int64_t a_step, const float* b, float* c,
                         int64_t c_row, int64_t depth, bool add) {
  if (rows == ROWS) product_block<ROWS, VECTORS>(a, a_row, a_step, b, c, c_row, depth, add);
  if constexpr (ROWS > 1)
    if (rows < ROWS) product_rest<VECTORS, ROWS - 1>(rows, a, a_row, a_step, b, c, c_row, depth, add);
}

// C (rows, columns) (+)= A · B, with B in panels (depth, kPanel); what is left of the columns in panels (depth, kLanes).
// C's rows are `c_row` apart, or it is in panels too, if that is 0.
void product(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_row, int64_t a_step,
             const float* b, float* c, int64_t c_row, bool add) {
  const int64_t whole = columns / kPanel * kPanel;
  for (int64_t column = 0; column < columns; column += column < whole ? kPanel : kLanes)
    for (int64_t row = 0; row < rows; row += SHOEGEN_ROWS) {
      const int64_t count = least(SHOEGEN_ROWS, rows - row);
      const float *a_block = a + row * a_row, *b_block = b + column * depth;
      const int64_t width = column < whole ? kPanel : kLanes, step = c_row ? c_row : width;
      float* c_block = c + row * step + (c_row ? column : column * rows);
      if (column < whole)
        product_rest<SHOEGEN_VECTORS>(count, a_block, a_row, a_step, b_block, c_block, step, depth, add);
      else
        product_rest<1>(count, a_block, a_row, a_step, b_block, c_block, step, depth, add);
    }
}

// Where column `column` (a multiple of 16) of row k stands in such a matrix B.
inline int64_t packed(int64_t column, int64_t k, int64_t columns, int64_t depth) {
  const int64_t whole = columns / kPanel * kPanel;
  const int64_t start = column < whole ? column / kPanel * kPanel : column;
  return start * depth + k * (column < whole ? kPanel : kLanes) + column - start;
}

// ---- transforms along one axis; `s` and `r` are the distances between what is read and what is written ----

// F(4, 3), with the points 0, ±1, ±2, ∞.
inline void points6(const Vec* d, int64_t s, Vec* v, int64_t r) {
  const Vec d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
  const Vec even = d4 - 4 * d2, odd = d3 - 4 * d1, even2 = d4 - d2, odd2 = 2 * (d3 - d1);
  v[0] = 4 * d0 - 5 * d2 + d4;
  v[r] = even + odd;
  v[2 * r] = even - odd;
  v[3 * r] = even2 + odd2;
  v[4 * r] = even2 - odd2;
  v[5 * r] = 4 * d1 - 5 * d3 + d5;
}
inline void outputs6(const Vec* m, int64_t s, Vec* y, int64_t r) {
  const Vec a = m[s] + m[2 * s], b = m[s] - m[2 * s], c = m[3 * s] + m[4 * s], d = m[3 * s] - m[4 * s];
  y[0] = m[0] + a + c;
  y[r] = b + 2 * d;
  y[2 * r] = a + 4 * c;
  y[3 * r] = b + 8 * d + m[5 * s];
}
inline void outputs6_adjoint(const Vec* y, int64_t s, Vec* m, int64_t r) {
  const Vec y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
  const Vec a = y0 + y2, b = y1 + y3, c = y0 + 4 * y2, d = 2 * y1 + 8 * y3;
  m[0] = y0;
  m[r] = a + b;
  m[2 * r] = a - b;
  m[3 * r] = c + d;
  m[4 * r] = c - d;
  m[5 * r] = y3;
}
inline void weights6(const Vec* g, int64_t s, Vec* u, int64_t r) {
  const Vec g0 = g[0], g1 = g[s], g2 = g[2 * s];
  const Vec a = (g0 + g2) * (-1.f / 6), b = g1 * (-1.f / 6), c = g0 * (1.f / 24) + g2 * (1.f / 6), d = g1 * (1.f / 12);
  u[0] = g0 * 0.25f;
  u[r] = a + b;
  u[2 * r] = a - b;
  u[3 * r] = c + d;
  u[4 * r] = c - d;
  u[5 * r] = g2;
}
inline void weights6_adjoint(const Vec* u, int64_t s, Vec* g, int64_t r) {
  const Vec a = u[s] + u[2 * s], b = u[s] - u[2 * s], c = u[3 * s] + u[4 * s], d = u[3 * s] - u[4 * s];
  g[0] = 0.25f * u[0] - a * (1.f / 6) + c * (1.f / 24);
  g[r] = d * (1.f / 12) - b * (1.f / 6);
  g[2 * r] = (c - a) * (1.f / 6) + u[5 * s];
}

// F(4, 2), with the points 0, 1, −1, 2, ∞.
inline void points5(const Vec* d, int64_t s, Vec* v, int64_t r) {
  const Vec d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s];
  v[0] = 2 * (d0 - d2) + (d3 - d1);
  v[r] = d3 - d2 - 2 * d1;
  v[2 * r] = d3 - 3 * d2 + 2 * d1;
  v[3 * r] = d3 - d1;
  v[4 * r] = 2 * (d1 - d3) + (d4 - d2);
}
inline void outputs5(const Vec* m, int64_t s, Vec* y, int64_t r) {
  const Vec a = m[s] + m[2 * s], b = m[s] - m[2 * s], c = m[3 * s];
  y[0] = m[0] + a + c;
  y[r] = b + 2 * c;
  y[2 * r] = a + 4 * c;
  y[3 * r] = b + 8 * c + m[4 * s];
}
inline void outputs5_adjoint(const Vec* y, int64_t s, Vec* m, int64_t r) {
  const Vec y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
  const Vec a = y0 + y2, b = y1 + y3;
  m[0] = y0;
  m[r] = a + b;
  m[2 * r] = a - b;
  m[3 * r] = y0 + 2 * y1 + 4 * y2 + 8 * y3;
  m[4 * r] = y3;
}
inline void weights5(Vec g0, Vec g1, Vec* u, int64_t r) {
  u[0] = 0.5f * g0;
  u[r] = -0.5f * (g0 + g1);
  u[2 * r] = (g1 - g0) * (1.f / 6);
  u[3 * r] = (g0 + 2 * g1) * (1.f / 6);
  u[4 * r] = g1;
}
inline void weights5_adjoint(const Vec* u, int64_t s, Vec& g0, Vec& g1) {
  const Vec a = u[s], b = u[2 * s], c = u[3 * s];
  g0 = 0.5f * (u[0] - a) + (c - b) * (1.f / 6);
  g1 = -0.5f * a + (b + 2 * c) * (1.f / 6) + u[4 * s];
}

// What each mode does along one axis: READS values at a tile → PLANES → WRITES values.
struct Same {
  static constexpr int kReads = 6, kPlanes = 6, kWrites = 4, kShared = 6;  // planes from kShared on share a weight
  static void points(const Vec* d, int64_t s, Vec* v, int64_t r) { points6(d, s, v, r); }
  static void outputs(const Vec* m, int64_t s, Vec* y, int64_t r) { outputs6(m, s, y, r); }
  static void outputs_adjoint(const Vec* y, int64_t s, Vec* m, int64_t r) { outputs6_adjoint(y, s, m, r); }
  static void weights(const Vec* g, int64_t s, Vec* u, int64_t r) { weights6(g, s, u, r); }
  static void weights_adjoint(const Vec* u, int64_t s, Vec* g, int64_t r) { weights6_adjoint(u, s, g, r); }
};
struct Up {
  static constexpr int kReads = 5, kPlanes = 9, kWrites = 8, kShared = 5;
  static void points(const Vec* d, int64_t s, Vec* v, int64_t r) {
    points5(d, s, v, r);
    for (int i = 0; i < 4; i++) v[(5 + i) * r] = d[(1 + i) * s];
  }
  static void outputs(const Vec* m, int64_t s, Vec* y, int64_t r) {
    outputs5(m, s, y, 2 * r);
    for (int i = 0; i < 4; i++) y[(2 * i + 1) * r] = m[(5 + i) * s];
  }
  static void outputs_adjoint(const Vec* y, int64_t s, Vec* m, int64_t r) {
    outputs5_adjoint(y, 2 * s, m, r);
    for (int i = 0; i < 4; i++) m[(5 + i) * r] = y[(2 * i + 1) * s];
  }
  static void weights(const Vec* g, int64_t s, Vec* u, int64_t r) {
    weights5(g[2 * s], g[0], u, r);
    u[5 * r] = g[s];
  }
  static void weights_adjoint(const Vec* u, int64_t s, Vec* g, int64_t r) {
    weights5_adjoint(u, s, g[2 * r], g[0]);
    g[r] = u[5 * s];
  }
};
struct Down {
  static constexpr int kReads = 9, kPlanes = 9, kWrites = 4, kShared = 5;
  static void points(const Vec* d, int64_t s, Vec* v, int64_t r) {
    points5(d, 2 * s, v, r);
    for (int i = 0; i < 4; i++) v[(5 + i) * r] = d[(2 * i + 1) * s];
  }
  static void outputs(const Vec* m, int64_t s, Vec* y, int64_t r) {
    outputs5(m, s, y, r);
    for (int i = 0; i < 4; i++) y[i * r] += m[(5 + i) * s];
  }
  static void weights(const Vec* g, int64_t s, Vec* u, int64_t r) {
    weights5(g[0], g[2 * s], u, r);
    u[5 * r] = g[s];
  }
};

// Planes in the order of their groups: those that share a weight stand together, as rows of one product.
template <class Mode> struct Layout {
  static constexpr int kGroups = Mode::kPlanes == Mode::kShared ? Mode::kShared : Mode::kShared + 1;
  static constexpr int kAlike = Mode::kPlanes - Mode::kShared;
  static constexpr int planes_of(int group) { return group < Mode::kShared ? 1 : kAlike; }
  int first[kGroups * kGroups + 1];            // plane of each group
  int group[Mode::kPlanes * Mode::kPlanes];    // of (i, j)
  int within[Mode::kPlanes * Mode::kPlanes];   // its place in the group
  int plane[Mode::kPlanes * Mode::kPlanes];
  constexpr Layout() : first(), group(), within(), plane() {
    first[0] = 0;
    for (int i = 0; i < kGroups; i++)
      for (int j = 0; j < kGroups; j++)
        first[i * kGroups + j + 1] = first[i * kGroups + j] + planes_of(i) * planes_of(j);
    for (int i = 0; i < Mode::kPlanes; i++)
      for (int j = 0; j < Mode::kPlanes; j++) {
        const int gi = i < Mode::kShared ? i : Mode::kShared, gj = j < Mode::kShared ? j : Mode::kShared;
        const int at = i * Mode::kPlanes + j;
        group[at] = gi * kGroups + gj;
        within[at] = (i - gi) * planes_of(gj) + (j - gj);
        plane[at] = first[group[at]] + within[at];
      }
  }
};
template <class Mode> constexpr Layout<Mode> kLayout{};

// ---- tiles ----

struct Image {  // (N, height, width, channels)
  const float* data;
  int64_t height, width, channels;
};

// SIDE × SIDE values whose first stands at (h, w), zero outside the image, times the sample's scales.
template <int SIDE>
inline void read_tile(const Image& x, const float* scale, int64_t n, int64_t h, int64_t w, int64_t c, Vec d[SIDE][SIDE]) {
  const Vec s = scale ? load(scale + n * x.channels + c) : splat(1);
  const float* place = x.data + ((n * x.height + h) * x.width + w) * x.channels + c;
  const bool inside = h >= 0 && w >= 0 && h + SIDE <= x.height && w + SIDE <= x.width;
  for (int i = 0; i < SIDE; i++)
    for (int j = 0; j < SIDE; j++) {
      const bool there = inside || (h + i >= 0 && h + i < x.height && w + j >= 0 && w + j < x.width);
      d[i][j] = there ? load(place + (i * x.width + j) * x.channels) * s : Vec{};
    }
}

// All planes of a tile; the row of plane p in v is p · stride.
template <class Mode>
inline void to_planes(const Image& x, const float* scale, int64_t n, int64_t h, int64_t w, float* v, int64_t stride) {
  constexpr int R = Mode::kReads, P = Mode::kPlanes;
  for (int64_t c = 0; c < x.channels; c += kLanes) {
    Vec d[R][R], half[P][R], row[P];
    read_tile<R>(x, scale, n, h, w, c, d);
    for (int j = 0; j < R; j++) Mode::points(&d[0][j], R, &half[0][j], R);
    for (int i = 0; i < P; i++) {
      Mode::points(half[i], 1, row, 1);
      for (int j = 0; j < P; j++) store(v + kLayout<Mode>.plane[i * P + j] * stride + c, row[j]);
    }
  }
}

template <class Mode>
inline void from_planes(const float* m, int64_t stride, Vec y[Mode::kWrites][Mode::kWrites]) {
  constexpr int P = Mode::kPlanes, W = Mode::kWrites;
  Vec half[W][P], column[P];
  for (int j = 0; j < P; j++) {
    for (int i = 0; i < P; i++) column[i] = load(m + kLayout<Mode>.plane[i * P + j] * stride);
    Mode::outputs(column, 1, &half[0][j], P);
  }
  for (int i = 0; i < W; i++) Mode::outputs(half[i], 1, y[i], 1);
}

// The same for the gradient of what a tile writes, into packed matrices (planes of the group · tiles, channels).
template <class Mode>
inline void gradient_to_planes(const Image& g, const float* scale, int64_t n, int64_t h, int64_t w, float* m, int64_t t,
                               int64_t tiles) {
  constexpr int P = Mode::kPlanes, W = Mode::kWrites;
  constexpr const Layout<Mode>& layout = kLayout<Mode>;
  for (int64_t c = 0; c < g.channels; c += kLanes) {
    Vec d[W][W], half[P][W], row[P];
    read_tile<W>(g, scale, n, h, w, c, d);
    for (int j = 0; j < W; j++) Mode::outputs_adjoint(&d[0][j], W, &half[0][j], W);
    for (int i = 0; i < P; i++) {
      Mode::outputs_adjoint(half[i], 1, row, 1);
      for (int j = 0; j < P; j++) {
        const int group = layout.group[i * P + j];
        const int64_t depth = (layout.first[group + 1] - layout.first[group]) * tiles;
        const int64_t k = layout.within[i * P + j] * tiles + t;
        store(m + layout.first[group] * tiles * g.channels + packed(c, k, g.channels, depth), row[j]);
      }
    }
  }
}

struct Tile {
  int64_t n, h, w;  // sample, and the tile's first place on the small image
};
inline Tile tile_at(const Grid& grid, int64_t t) {
  return {t / (grid.down * grid.across), t / grid.across % grid.down * 4, t % grid.across * 4};
}

// `write(tile, channel, values)` gets each tile of the result.
template <class Mode, class Write>
inline void each_tile(const Grid& grid, const Image& x, const float* scale, int64_t shift, int64_t stretch,
                      const float* u, int64_t out, int64_t chunk, int64_t begin, int64_t end, float* scratch,
                      const Write& write) {
  constexpr int planes = Mode::kPlanes * Mode::kPlanes, groups = Layout<Mode>::kGroups * Layout<Mode>::kGroups;
  constexpr const Layout<Mode>& layout = kLayout<Mode>;
  const int64_t in = x.channels, v_row = in + kLanes, m_row = out + kLanes;  // powers of two would share cache sets
  float *v = scratch, *m = scratch + planes * chunk * v_row;
  for (int64_t first = begin; first < end; first += chunk) {
    const int64_t count = least(chunk, end - first);
    for (int64_t t = 0; t < count; t++) {
      const Tile tile = tile_at(grid, first + t);
      to_planes<Mode>(x, scale, tile.n, tile.h * stretch - shift, tile.w * stretch - shift, v + t * v_row, count * v_row);
    }
    for (int group = 0; group < groups; group++) {
      const int64_t row = layout.first[group] * count, rows = layout.first[group + 1] * count - row;
      product(rows, out, in, v + row * v_row, v_row, 1, u + group * in * out, m + row * m_row, m_row, false);
    }
    for (int64_t t = 0; t < count; t++) {
      const Tile tile = tile_at(grid, first + t);
      for (int64_t c = 0; c < out; c += kLanes) {
        Vec y[Mode::kWrites][Mode::kWrites];
        from_planes<Mode>(m + t * m_row + c, count * m_row, y);
        write(tile, c, y);
      }
    }
  }
}

template <class Mode>
void pack(const float* w, int64_t depth, int64_t depth_step, int64_t columns, int64_t column_step, bool flip, float* u,
          int64_t begin, int64_t end) {
  constexpr int G = Layout<Mode>::kGroups;
  for (int64_t column = begin * kLanes; column < end * kLanes; column += kLanes)
    for (int64_t k = 0; k < depth; k++) {
      float taps[9][kLanes];
      for (int64_t lane = 0; lane < kLanes; lane++) {
        const float* source = w + k * depth_step + (column + lane) * column_step;
        for (int tap = 0; tap < 9; tap++) taps[flip ? 8 - tap : tap][lane] = source[tap];
      }
      Vec g[3][3], half[G][3], row[G];
      for (int tap = 0; tap < 9; tap++) g[tap / 3][tap % 3] = load(taps[tap]);
      for (int j = 0; j < 3; j++) Mode::weights(&g[0][j], 3, &half[0][j], 3);
      float* place = u + packed(column, k, columns, depth);
      for (int i = 0; i < G; i++) {
        Mode::weights(half[i], 1, row, 1);
        for (int j = 0; j < G; j++) stream(place + (i * G + j) * depth * columns, row[j]);
      }
    }
  finish_streams();
}

template <class Mode>
void unpack(const float* u, int64_t depth, int64_t depth_step, int64_t columns, int64_t column_step, bool flip, float* w,
            int64_t begin, int64_t end) {
  constexpr int G = Layout<Mode>::kGroups;
  for (int64_t column = begin * kLanes; column < end * kLanes; column += kLanes)
    for (int64_t k = 0; k < depth; k++) {
      const float* place = u + packed(column, k, columns, depth);
      Vec half[3][G], points[G], g[3][3];
      for (int j = 0; j < G; j++) {
        for (int i = 0; i < G; i++) points[i] = load(place + (i * G + j) * depth * columns);
        Mode::weights_adjoint(points, 1, &half[0][j], G);
      }
      float taps[9][kLanes];
      for (int i = 0; i < 3; i++) Mode::weights_adjoint(half[i], 1, g[i], 1);
      for (int tap = 0; tap < 9; tap++) store(taps[tap], g[tap / 3][tap % 3]);
      for (int64_t lane = 0; lane < kLanes; lane++) {
        float* to = w + k * depth_step + (column + lane) * column_step;
        for (int tap = 0; tap < 9; tap++) to[tap] = taps[flip ? 8 - tap : tap][lane];
      }
    }
}

template <class Mode>
void both_to_planes(const Grid& grid, const Image& x, const float* x_scale, const Image& g, const float* g_scale,
                    int64_t stretch, int64_t first, int64_t count, float* v, float* m, int64_t begin, int64_t end) {
  const int64_t v_row = x.channels + kLanes;
  for (int64_t t = begin; t < end; t++) {
    const Tile tile = tile_at(grid, first + t);
    to_planes<Mode>(x, x_scale, tile.n, tile.h - 1, tile.w - 1, v + t * v_row, count * v_row);
    gradient_to_planes<Mode>(g, g_scale, tile.n, tile.h * stretch, tile.w * stretch, m, t, count);
  }
}

template <class Mode>
void products(const float* v, int64_t in, const float* m, int64_t out, int64_t count, float* u, bool add, int64_t begin,
              int64_t end) {
  const int64_t v_row = in + kLanes;
  for (int64_t group = begin; group < end; group++) {
    const int64_t row = kLayout<Mode>.first[group] * count, rows = kLayout<Mode>.first[group + 1] * count - row;
    product(in, out, rows, v + row * v_row, 1, v_row, m + row * out, u + group * in * out, 0, add);
  }
}

}  // namespace

void conv_pack_weight(int mode, const float* w, int64_t depth, int64_t depth_step, int64_t columns, int64_t column_step,
                      bool flip, float* u, int64_t begin, int64_t end) {
  const auto run = mode == kSame ? pack<Same> : mode == kUp ? pack<Up> : pack<Down>;
  run(w, depth, depth_step, columns, column_step, flip, u, begin, end);
}

void conv_unpack_weight(int mode, const float* u, int64_t depth, int64_t depth_step, int64_t columns,
                        int64_t column_step, bool flip, float* w, int64_t begin, int64_t end) {
  const auto run = mode == kSame ? unpack<Same> : unpack<Up>;
  run(u, depth, depth_step, columns, column_step, flip, w, begin, end);
}

// To y (N, H, W, out), for `same` and `down`; x is (N, H, W, in) and (N, 2H + 1, 2W + 1, in).
void conv_tiles(int mode, const Grid& grid, const float* x, int64_t in, const float* in_scale, const float* u,
                int64_t out, const Epilogue& e, float* y, int64_t chunk, int64_t begin, int64_t end, float* scratch) {
  const int64_t height = grid.height, width = grid.width;
  const auto write = [&](const Tile& tile, int64_t c, Vec values[4][4]) {
    const int64_t rows = least(4, height - tile.h), columns = least(4, width - tile.w);
    const Vec scale = e.scale ? load(e.scale + tile.n * out + c) : splat(1);
    const Vec bias = e.bias ? load(e.bias + c) : Vec{};
    const float* noise = e.noise ? e.noise + tile.n * e.noise_stride + tile.h * width + tile.w : nullptr;
    float* place = y + ((tile.n * height + tile.h) * width + tile.w) * out + c;
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) {
        Vec value = values[i][j] * scale + bias;
        if (noise) value += splat(noise[i * width + j]);
        store(place + (i * width + j) * out, finish(value, e));
      }
  };
  if (mode == kSame)
    each_tile<Same>(grid, {x, height, width, in}, in_scale, 1, 1, u, out, chunk, begin, end, scratch, write);
  else
    each_tile<Down>(grid, {x, 2 * height + 1, 2 * width + 1, in}, in_scale, 0, 2, u, out, chunk, begin, end, scratch,
                    write);
}

// To t (N, 2H + 1, 2W + 1, out), before the filter.
void conv_tiles_up(const Grid& grid, const float* x, int64_t in, const float* in_scale, const float* u, int64_t out,
                   float* t, int64_t chunk, int64_t begin, int64_t end, float* scratch) {
  const int64_t height = 2 * grid.height + 1, width = 2 * grid.width + 1;
  const auto write = [&](const Tile& tile, int64_t c, Vec values[8][8]) {
    const int64_t rows = least(8, height - 2 * tile.h), columns = least(8, width - 2 * tile.w);
    float* place = t + ((tile.n * height + 2 * tile.h) * width + 2 * tile.w) * out + c;
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < columns; j++) store(place + (i * width + j) * out, values[i][j]);
  };
  each_tile<Up>(grid, {x, grid.height, grid.width, in}, in_scale, 1, 1, u, out, chunk, begin, end, scratch, write);
}

// The last row (`down`) or column of t, which tiles would mostly leave empty: where the side is a multiple of 4, they
// stop before it. It sees one row of x, through the taps 2 along the other axis: groups that hold halves of these.
namespace {
struct Edge {
  int64_t count, x_step, t_step;  // pixels of x along it, and the distances between them and between those of t
  const float* x;                 // its first pixels
  int64_t t;
  int even, odd;  // groups of the taps 0 and 1 along it; group 0 has the tap 2
};
inline Edge edge_of(const Grid& grid, bool down, const float* x, int64_t in, int64_t n) {
  const int64_t height = grid.height, width = grid.width, wide = 2 * width + 1;
  const float* sample = x + n * height * width * in;
  const int64_t t = n * (2 * height + 1) * wide;
  if (down) return {width, in, 1, sample + (height - 1) * width * in, t + 2 * height * wide, 4, 5};
  return {height, width * in, wide, sample + (width - 1) * in, t + 2 * width, 24, 30};
}
// Its pixels of x, times the scales and `factor`, as rows.
inline void edge_rows(const Edge& edge, int64_t in, const float* scale, float factor, float* rows) {
  for (int64_t i = 0; i < edge.count; i++)
    for (int64_t c = 0; c < in; c += kLanes)
      store(rows + i * in + c, load(edge.x + i * edge.x_step + c) * (scale ? load(scale + c) * factor : splat(factor)));
}
}  // namespace

void conv_edge_up(const Grid& grid, bool down, const float* x, int64_t in, const float* in_scale, const float* u,
                  int64_t out, float* t, int64_t n, float* scratch) {
  const Edge edge = edge_of(grid, down, x, in, n);
  float *rows = scratch, *even = rows + edge.count * in, *odd = even + edge.count * out, *next = odd + edge.count * out;
  edge_rows(edge, in, in_scale ? in_scale + n * in : nullptr, 2, rows);
  product(edge.count, out, in, rows, in, 1, u + edge.even * in * out, even, out, false);
  product(edge.count, out, in, rows, in, 1, u + edge.odd * in * out, odd, out, false);
  product(edge.count, out, in, rows, in, 1, u, next, out, false);
  for (int64_t i = 0; i <= edge.count; i++)
    for (int64_t c = 0; c < out; c += kLanes) {
      float* place = t + (edge.t + 2 * i * edge.t_step) * out + c;
      Vec value{};
      if (i > 0) value += 2 * load(next + (i - 1) * out + c);
      if (i < edge.count) {
        value += load(even + i * out + c);
        store(place + edge.t_step * out, load(odd + i * out + c));
      }
      store(place, value);
    }
}

// Adds what the edge contributes to the gradient of its tap 0, 1 or 2; `skip_corner`: the other edge has it.
void conv_edge_weight(const Grid& grid, bool down, int tap, bool skip_corner, const float* x, int64_t in,
                      const float* in_scale, const float* g, int64_t out, float* u, int64_t n, float* scratch) {
  Edge edge = edge_of(grid, down, x, in, n);
  if (tap == 2 && skip_corner) edge.count--;
  float *rows = scratch, *gradients = rows + edge.count * in;
  edge_rows(edge, in, in_scale ? in_scale + n * in : nullptr, tap == 2 ? 4 : 2, rows);
  for (int64_t i = 0; i < edge.count; i++)
    for (int64_t c = 0; c < out; c += kLanes)
      store(gradients + packed(c, i, out, edge.count), load(g + (edge.t + (2 * i + tap) * edge.t_step) * out + c));
  const int group = tap == 0 ? edge.even : tap == 1 ? edge.odd : 0;
  product(in, out, edge.count, rows, 1, in, gradients, u + group * in * out, 0, true);
}

void conv_both_to_planes(int mode, const Grid& grid, const float* x, int64_t in, const float* x_scale, const float* g,
                         int64_t out, const float* g_scale, int64_t first, int64_t count, float* v, float* m,
                         int64_t begin, int64_t end) {
  const Image small{x, grid.height, grid.width, in};
  if (mode == kSame)
    both_to_planes<Same>(grid, small, x_scale, {g, grid.height, grid.width, out}, g_scale, 1, first, count, v, m, begin,
                         end);
  else
    both_to_planes<Up>(grid, small, x_scale, {g, 2 * grid.height + 1, 2 * grid.width + 1, out}, g_scale, 2, first,
                       count, v, m, begin, end);
}

void conv_weight_products(int mode, const float* v, int64_t in, const float* m, int64_t out, int64_t count, float* u,
                          bool add, int64_t begin, int64_t end) {
  const auto run = mode == kSame ? products<Same> : products<Up>;
  run(v, in, m, out, count, u, add, begin, end);
}

// The filter (taps along both axes) and the epilogue: rows begin…end of y (N · height) from t (N, height + 1, width + 1).
// y[i] = Σ_k taps[k] t[i − 1 + k]; `line` holds width + 1 pixels.
void fir_rows(const float* t, int64_t height, int64_t width, int64_t channels, const float* taps, const Epilogue& e,
              float* y, int64_t begin, int64_t end, float* line) {
  const int64_t pixels = width + 1;
  for (int64_t row = begin; row < end; row++) {
    const int64_t n = row / height, h = row % height;
    const float* sample = t + n * (height + 1) * pixels * channels;
    const float* rows[4];
    float factor[4];
    for (int k = 0; k < 4; k++) {
      const int64_t from = h - 1 + k;
      const bool there = from >= 0 && from <= height;
      rows[k] = sample + (there ? from : 0) * pixels * channels;
      factor[k] = there ? taps[k] : 0;
    }
    for (int64_t i = 0; i < pixels * channels; i += kLanes)
      store(line + i, load(rows[0] + i) * factor[0] + load(rows[1] + i) * factor[1] + load(rows[2] + i) * factor[2] +
                          load(rows[3] + i) * factor[3]);
    for (int64_t w = 0; w < width; w++) {
      const Vec noise = e.noise ? splat(e.noise[n * e.noise_stride + h * width + w]) : Vec{};
      float* place = y + (row * width + w) * channels;
      const float* from = line + (w - 1) * channels;
      for (int64_t c = 0; c < channels; c += kLanes) {
        Vec value = load(from + channels + c) * taps[1] + load(from + 2 * channels + c) * taps[2];
        if (w > 0) value += load(from + c) * taps[0];
        if (w + 2 < pixels) value += load(from + 3 * channels + c) * taps[3];
        if (e.scale) value *= load(e.scale + n * channels + c);
        value += noise;
        if (e.bias) value += load(e.bias + c);
        store(place + c, finish(value, e));
      }
    }
  }
}

// The adjoint: rows begin…end of t (N · (height + 1)) from y (N, height, width) times the sample's scales.
void fir_rows_adjoint(const float* y, int64_t height, int64_t width, int64_t channels, const float* taps,
                      const float* scale, float* t, int64_t begin, int64_t end, float* line) {
  const int64_t pixels = width + 1;
  for (int64_t row = begin; row < end; row++) {
    const int64_t n = row / pixels_of(height), h = row % pixels_of(height);
    const float* sample = y + n * height * width * channels;
    const float* rows[4];
    float factor[4];
    for (int k = 0; k < 4; k++) {
      const int64_t from = h + 1 - k;
      const bool there = from >= 0 && from < height;
      rows[k] = sample + (there ? from : 0) * width * channels;
      factor[k] = there ? taps[k] : 0;
    }
    for (int64_t i = 0; i < width * channels; i += kLanes)
      store(line + i, load(rows[0] + i) * factor[0] + load(rows[1] + i) * factor[1] + load(rows[2] + i) * factor[2] +
                          load(rows[3] + i) * factor[3]);
    for (int64_t w = 0; w < pixels; w++) {
      float* place = t + (row * pixels + w) * channels;
      const float* from = line + (w + 1) * channels;
      for (int64_t c = 0; c < channels; c += kLanes) {
        Vec value{};
        for (int k = 0; k < 4; k++)
          if (w + 1 - k >= 0 && w + 1 - k < width) value += load(from - k * channels + c) * taps[k];
        if (scale) value *= load(scale + n * channels + c);
        store(place + c, value);
      }
    }
  }
}

}  // namespace SHOEGEN_ISA
