// shoegen::conv_layer and shoegen::conv_layer_weight for the CPU, see ops/conv_layer.py.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "conv_layer_kernel.h"
#include "tensors.h"

namespace shoegen {

namespace {

using torch::headeronly::MemoryFormat;
using torch::stable::parallel_for;

constexpr int64_t kTileRows = 12;
constexpr size_t kHugePage = size_t(1) << 21;

// Memory that is kept from call to call: fresh pages would be faulted in each time.
float* scratch(int slot, int64_t floats) {
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  static thread_local std::unique_ptr<float, Free> memory[6];
  static thread_local int64_t sizes[6];
  if (sizes[slot] < floats) {
    memory[slot].reset();
    sizes[slot] = 0;
    const size_t bytes = (size_t(floats) * 4 + kHugePage - 1) / kHugePage * kHugePage;
    memory[slot].reset(static_cast<float*>(std::aligned_alloc(kHugePage, bytes)));
    STD_TORCH_CHECK(memory[slot] != nullptr, "conv_layer: out of memory: ", bytes, " bytes of intermediate values");
#ifdef __linux__
    madvise(memory[slot].get(), bytes, MADV_HUGEPAGE);  // dozens of planes are written at once
#endif
    sizes[slot] = floats;
  }
  return memory[slot].get();
}

const float* pointer(const Tensor& t) { return static_cast<const float*>(t.const_data_ptr()); }
float* mutable_pointer(Tensor& t) { return static_cast<float*>(t.mutable_data_ptr()); }
const float* pointer(const std::optional<Tensor>& t) { return t ? pointer(*t) : nullptr; }
const float* after(const float* p, int64_t count) { return p ? p + count : nullptr; }

Tensor channels_last(const Tensor& t) {
  STD_TORCH_CHECK(t.dim() == 4 && t.scalar_type() == ScalarType::Float && t.size(1) % 16 == 0,
                  "conv_layer: expected (N, C, H, W) float32 with C in multiples of 16");
  return torch::stable::contiguous(t, MemoryFormat::ChannelsLast);
}
std::optional<Tensor> dense(const std::optional<Tensor>& t) {
  return t ? std::optional<Tensor>(torch::stable::contiguous(*t)) : std::nullopt;
}
// What the kernels read by these sizes.
void check_size(const std::optional<Tensor>& t, const char* name, std::vector<int64_t> sizes) {
  if (!t) return;
  bool fits = t->scalar_type() == ScalarType::Float && t->dim() == int64_t(sizes.size());
  for (size_t i = 0; fits && i < sizes.size(); i++) fits = t->size(i) == sizes[i];
  STD_TORCH_CHECK(fits, "conv_layer: ", name, " has not the size or type that belongs to the images");
}
void check_taps(int64_t mode, const std::vector<double>& taps) {
  STD_TORCH_CHECK(mode == kSame || mode == kUp || mode == kDown, "conv_layer: unknown mode ", mode);
  STD_TORCH_CHECK(taps.size() == (mode == kSame ? 0 : 4), "conv_layer: expected 4 taps to resample, else none");
}
Tensor new_image(const Tensor& like, int64_t samples, int64_t channels, int64_t height, int64_t width) {
  return torch::stable::empty({samples, channels, height, width}, like.scalar_type(), std::nullopt, like.device(),
                              std::nullopt, MemoryFormat::ChannelsLast);
}

int planes(int mode) { return mode == kSame ? 36 : 81; }

// Up has one more place along each axis. Where that would take a tile of its own, it is left to `conv_edge_…`.
Grid grid_of(int mode, int64_t samples, int64_t height, int64_t width) {
  const auto count = [&](int64_t side) { return mode == kUp && side % 4 ? side / 4 + 1 : (side + 3) / 4; };
  return {samples, height, width, count(height), count(width)};
}
bool has_edge(const Grid& grid, bool down) { return (down ? grid.height : grid.width) % 4 == 0; }
int64_t tiles(const Grid& grid) { return grid.samples * grid.down * grid.across; }

// As many tiles as keep their planes in the outer levels of cache.
int64_t tiles_per_chunk(int mode, int64_t channels, int64_t megabytes) {
  return std::max<int64_t>((megabytes << 18) / (planes(mode) * channels) / kTileRows, 2) * kTileRows;
}

// Samples whose unfiltered images are held at once.
int64_t samples_per_group(int64_t samples, int64_t floats_per_sample) {
  return std::clamp<int64_t>((int64_t(1) << 22) / floats_per_sample, 1, samples);
}

void filter_adjoint(const float* y, int64_t samples, int64_t height, int64_t width, int64_t channels,
                    const float* taps, const float* scale, float* t) {
  parallel_for(0, samples * (height + 1), 1, [&](int64_t begin, int64_t end) {
    float* line = scratch(5, (width + 1) * channels);
    SHOEGEN_PICK(fir_rows_adjoint)(y, height, width, channels, taps, scale, t, begin, end, line);
  });
}

Tensor conv_layer_cpu(const Tensor& any_x, const Tensor& any_weight, const std::optional<Tensor>& any_in_scale,
                      const std::optional<Tensor>& any_out_scale, const std::optional<Tensor>& any_noise,
                      const std::optional<Tensor>& any_bias, double slope, double gain, std::optional<double> clamp,
                      int64_t mode, bool transpose, bool flip, std::vector<double> taps) {
  const Tensor x = channels_last(any_x), weight = torch::stable::contiguous(any_weight);
  const auto in_scale = dense(any_in_scale), out_scale = dense(any_out_scale), noise = dense(any_noise),
             bias = dense(any_bias);
  const int64_t samples = x.size(0), in = x.size(1), out = weight.size(transpose ? 1 : 0);
  const int64_t height = mode == kDown ? x.size(2) / 2 : x.size(2), width = mode == kDown ? x.size(3) / 2 : x.size(3);
  const int64_t y_height = mode == kUp ? 2 * height : height, y_width = mode == kUp ? 2 * width : width;
  check_taps(mode, taps);
  check_size(weight, "weight", transpose ? std::vector<int64_t>{in, out, 3, 3} : std::vector<int64_t>{out, in, 3, 3});
  check_size(in_scale, "in_scale", {samples, in});
  check_size(out_scale, "out_scale", {samples, out});
  check_size(bias, "bias", {out});
  if (noise) check_size(noise, "noise", {noise->size(0) == 1 ? 1 : samples, 1, y_height, y_width});
  Tensor y = new_image(x, samples, out, y_height, y_width);
  if (!samples) return y;
  const float* xp = pointer(x);
  float* yp = mutable_pointer(y);
  const int64_t noise_stride = noise && noise->size(0) > 1 ? y_height * y_width : 0;
  float filter[4];
  std::copy(taps.begin(), taps.end(), filter);

  float* u = scratch(0, 36 * in * out);
  const int64_t first_step = 9 * weight.size(1), depth_step = transpose ? first_step : 9;
  parallel_for(0, out / 16, 1, [&](int64_t begin, int64_t end) {
    SHOEGEN_PICK(conv_pack_weight)(mode, pointer(weight), in, depth_step, out, transpose ? 9 : first_step, flip, u,
                                   begin, end);
  });

  const int64_t unfiltered = (2 * height + 1) * (2 * width + 1);
  const int64_t group = mode == kSame ? samples : samples_per_group(samples, unfiltered * (mode == kUp ? out : in));
  for (int64_t n = 0; n < samples; n += group) {
    const Grid grid = grid_of(mode, std::min(group, samples - n), height, width);
    const Epilogue e{after(pointer(out_scale), n * out), after(pointer(noise), n * noise_stride), noise_stride,
                     pointer(bias), float(slope), float(gain), float(clamp.value_or(-1))};
    const float *x_now = xp + n * x.size(2) * x.size(3) * in, *scale_now = after(pointer(in_scale), n * in);
    float* y_now = yp + n * y_height * y_width * out;
    const int64_t chunk = tiles_per_chunk(mode, in + out + 32, 2);
    float* t = mode == kSame ? nullptr : scratch(4, grid.samples * unfiltered * (mode == kUp ? out : in));
    if (mode == kDown)
      filter_adjoint(x_now, grid.samples, 2 * height, 2 * width, in, filter, scale_now, t);
    parallel_for(0, tiles(grid), kTileRows, [&](int64_t begin, int64_t end) {
      float* own = scratch(1, planes(mode) * chunk * (in + out + 32));
      if (mode == kUp)
        SHOEGEN_PICK(conv_tiles_up)(grid, x_now, in, scale_now, u, out, t, chunk, begin, end, own);
      else if (mode == kDown)
        SHOEGEN_PICK(conv_tiles)(mode, grid, t, in, nullptr, u, out, e, y_now, chunk, begin, end, own);
      else
        SHOEGEN_PICK(conv_tiles)(mode, grid, x_now, in, scale_now, u, out, e, y_now, chunk, begin, end, own);
    });
    if (mode == kUp)
      parallel_for(0, 2 * grid.samples, 1, [&](int64_t begin, int64_t end) {
        float* own = scratch(1, std::max(height, width) * (in + 3 * out));
        for (int64_t i = begin; i < end; i++)
          if (has_edge(grid, i % 2))
            SHOEGEN_PICK(conv_edge_up)(grid, i % 2, x_now, in, scale_now, u, out, t, i / 2, own);
      });
    if (mode == kUp)
      parallel_for(0, grid.samples * y_height, 1, [&](int64_t begin, int64_t end) {
        float* line = scratch(5, (y_width + 1) * out);
        SHOEGEN_PICK(fir_rows)(t, y_height, y_width, out, filter, e, y_now, begin, end, line);
      });
  }
  return y;
}

// The gradient of `weight` of `conv_layer` in mode same or up, of x (N, H, W, C_in) and the output's g.
Tensor conv_layer_weight_cpu(const Tensor& any_x, const Tensor& any_g, const std::optional<Tensor>& any_in_scale,
                             const std::optional<Tensor>& any_out_scale, int64_t mode, bool transpose, bool flip,
                             std::vector<double> taps) {
  const Tensor x = channels_last(any_x), g = channels_last(any_g);
  const auto in_scale = dense(any_in_scale), out_scale = dense(any_out_scale);
  const int64_t samples = x.size(0), in = x.size(1), height = x.size(2), width = x.size(3), out = g.size(1);
  check_taps(mode, taps);
  const int64_t scale = mode == kUp ? 2 : 1;
  check_size(g, "g", {samples, out, scale * height, scale * width});
  check_size(in_scale, "in_scale", {samples, in});
  check_size(out_scale, "out_scale", {samples, out});
  Tensor weight = torch::stable::new_empty(x, {transpose ? in : out, transpose ? out : in, 3, 3});
  float* wp = mutable_pointer(weight);
  float filter[4];
  std::copy(taps.begin(), taps.end(), filter);

  const int64_t unfiltered = (2 * height + 1) * (2 * width + 1);
  const int64_t group = mode == kSame ? samples : samples_per_group(samples, unfiltered * out);
  float* u = scratch(0, 36 * in * out);
  for (int64_t n = 0; n < samples; n += group) {
    const Grid grid = grid_of(mode, std::min(group, samples - n), height, width);
    const float *x_now = pointer(x) + n * height * width * in, *in_now = after(pointer(in_scale), n * in);
    const float *g_now = pointer(g) + n * g.size(2) * g.size(3) * out, *out_now = after(pointer(out_scale), n * out);
    if (mode == kUp) {
      float* t = scratch(4, grid.samples * unfiltered * out);
      filter_adjoint(g_now, grid.samples, 2 * height, 2 * width, out, filter, out_now, t);
      g_now = t;
      out_now = nullptr;
    }
    const int64_t chunk = std::min(tiles(grid), tiles_per_chunk(mode, in + out + 16, 16));
    float* v = scratch(2, planes(mode) * chunk * (in + 16));
    float* m = scratch(3, planes(mode) * chunk * out);
    for (int64_t first = 0; first < tiles(grid); first += chunk) {
      const int64_t count = std::min(chunk, tiles(grid) - first);
      parallel_for(0, count, 4, [&](int64_t begin, int64_t end) {
        SHOEGEN_PICK(conv_both_to_planes)(mode, grid, x_now, in, in_now, g_now, out, out_now, first, count, v, m, begin,
                                          end);
      });
      parallel_for(0, 36, 1, [&](int64_t begin, int64_t end) {
        SHOEGEN_PICK(conv_weight_products)(mode, v, in, m, out, count, u, n > 0 || first > 0, begin, end);
      });
    }
    if (mode == kUp)  // taps 0 and 1 of both edges, and tap 2, which they share
      parallel_for(0, 5, 1, [&](int64_t begin, int64_t end) {
        float* own = scratch(1, std::max(height, width) * (in + out));
        for (int64_t i = begin; i < end; i++)
          for (int64_t k = 0; k < grid.samples; k++)
            for (const bool down : {true, false})
              if (has_edge(grid, down) && (i == 4 || i % 2 == down))
                SHOEGEN_PICK(conv_edge_weight)(grid, down, int(i / 2), !down && has_edge(grid, true), x_now, in, in_now,
                                               g_now, out, u, k, own);
      });
  }
  const int64_t first_step = 9 * weight.size(1);
  parallel_for(0, out / 16, 1, [&](int64_t begin, int64_t end) {
    SHOEGEN_PICK(conv_unpack_weight)(mode, u, in, transpose ? first_step : 9, out, transpose ? 9 : first_step, flip, wp,
                                     begin, end);
  });
  return weight;
}

// Calls work(sample, first pixel, last pixel, its own sums (sums · channels)) on shares of all images, and adds up the
// sums per sample.
template <class Work>
void each_share(const Tensor& model, Tensor* sums, int64_t sums_size, const Work& work) {
  const int64_t samples = model.size(0), pixels = model.size(2) * model.size(3);
  const int64_t shares = std::max<int64_t>(1, std::min(pixels / 64, 32 / std::max<int64_t>(samples, 1) + 1));
  float* own = scratch(5, samples * shares * sums_size + 1);
  std::fill_n(own, samples * shares * sums_size, 0.f);
  parallel_for(0, samples * shares, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      work(i / shares, pixels * (i % shares) / shares, pixels * (i % shares + 1) / shares, own + i * sums_size);
  });
  if (!sums) return;
  float* to = mutable_pointer(*sums);
  std::fill_n(to, samples * sums_size, 0.f);
  for (int64_t i = 0; i < samples * shares; i++)
    for (int64_t k = 0; k < sums_size; k++) to[i / shares * sums_size + k] += own[i * sums_size + k];
}

Epilogue epilogue(const std::optional<Tensor>& noise, double slope, double gain, std::optional<double> clamp) {
  const int64_t stride = noise && noise->size(0) > 1 ? noise->numel() / noise->size(0) : 0;
  return {nullptr, pointer(noise), stride, nullptr, float(slope), float(gain), float(clamp.value_or(-1))};
}
Epilogue at_sample(Epilogue e, int64_t n) {
  e.noise = after(e.noise, n * e.noise_stride);
  return e;
}

std::tuple<Tensor, Tensor, Tensor> layer_backward_cpu(const Tensor& any_dy, const Tensor& any_y,
                                                      const std::optional<Tensor>& any_noise, double slope, double gain,
                                                      std::optional<double> clamp) {
  const Tensor dy = channels_last(any_dy), y = channels_last(any_y);
  const auto noise = dense(any_noise);
  const int64_t samples = y.size(0), channels = y.size(1), pixels = y.size(2) * y.size(3);
  Tensor du = new_image(y, samples, channels, y.size(2), y.size(3));
  Tensor over_channels = torch::stable::new_empty(y, {samples, 1, y.size(2), y.size(3)});
  Tensor sums = torch::stable::new_empty(y, {samples, 2, channels});
  const Epilogue e = epilogue(noise, slope, gain, clamp);
  float *to = mutable_pointer(du), *across = mutable_pointer(over_channels);
  each_share(y, &sums, 2 * channels, [&](int64_t n, int64_t begin, int64_t end, float* own) {
    const int64_t start = n * pixels * channels;
    SHOEGEN_PICK(layer_backward)(at_sample(e, n), pointer(dy) + start, pointer(y) + start, channels, to + start,
                                 across + n * pixels, own, begin, end);
  });
  return {du, over_channels, sums};
}

std::tuple<Tensor, Tensor, Tensor> layer_backward_adjoint_cpu(
    const std::optional<Tensor>& any_g_du, const std::optional<Tensor>& any_g_noise, const std::optional<Tensor>& any_g_sums,
    const Tensor& any_dy, const Tensor& any_y, const std::optional<Tensor>& any_noise, double slope, double gain,
    std::optional<double> clamp) {
  const Tensor dy = channels_last(any_dy), y = channels_last(any_y);
  const auto g_du = any_g_du ? std::optional<Tensor>(channels_last(*any_g_du)) : std::nullopt;
  const auto g_noise = dense(any_g_noise), g_sums = dense(any_g_sums), noise = dense(any_noise);
  const int64_t samples = y.size(0), channels = y.size(1), pixels = y.size(2) * y.size(3);
  Tensor g_dy = new_image(y, samples, channels, y.size(2), y.size(3));
  Tensor g_y = new_image(y, samples, channels, y.size(2), y.size(3));
  Tensor over_channels = torch::stable::new_empty(y, {samples, 1, y.size(2), y.size(3)});
  const Epilogue e = epilogue(noise, slope, gain, clamp);
  float *to = mutable_pointer(g_dy), *to_y = mutable_pointer(g_y), *across = mutable_pointer(over_channels);
  each_share(y, nullptr, 0, [&](int64_t n, int64_t begin, int64_t end, float*) {
    const int64_t start = n * pixels * channels;
    const float* own = after(pointer(g_sums), n * 2 * channels);
    SHOEGEN_PICK(layer_backward_adjoint)(at_sample(e, n), after(pointer(g_du), start), own, after(own, channels),
                                         after(pointer(g_noise), n * pixels), pointer(dy) + start, pointer(y) + start,
                                         channels, to + start, to_y + start, across + n * pixels, begin, end);
  });
  return {g_dy, g_y, over_channels};
}

std::tuple<Tensor, Tensor> scale_dot_cpu(const Tensor& any_t, const Tensor& any_s, const Tensor& any_x) {
  const Tensor t = channels_last(any_t), s = torch::stable::contiguous(any_s), x = channels_last(any_x);
  const int64_t samples = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  Tensor p = new_image(x, samples, channels, x.size(2), x.size(3)), q = torch::stable::new_empty(x, {samples, channels});
  float* to = mutable_pointer(p);
  each_share(x, &q, channels, [&](int64_t n, int64_t begin, int64_t end, float* own) {
    const int64_t start = n * pixels * channels;
    SHOEGEN_PICK(scale_dot)(pointer(t) + start, pointer(s) + n * channels, pointer(x) + start, channels, to + start, own,
                            begin, end);
  });
  return {p, q};
}

std::tuple<Tensor, Tensor, Tensor> scale_dot_adjoint_cpu(const Tensor& any_g_p, const Tensor& any_g_q, const Tensor& any_t,
                                                         const Tensor& any_s, const Tensor& any_x) {
  const Tensor g_p = channels_last(any_g_p), t = channels_last(any_t), x = channels_last(any_x);
  const Tensor g_q = torch::stable::contiguous(any_g_q), s = torch::stable::contiguous(any_s);
  const int64_t samples = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  Tensor g_t = new_image(x, samples, channels, x.size(2), x.size(3)), g_x = new_image(x, samples, channels, x.size(2), x.size(3));
  Tensor g_s = torch::stable::new_empty(x, {samples, channels});
  float *to = mutable_pointer(g_t), *to_x = mutable_pointer(g_x);
  each_share(x, &g_s, channels, [&](int64_t n, int64_t begin, int64_t end, float* own) {
    const int64_t start = n * pixels * channels;
    SHOEGEN_PICK(scale_dot_adjoint)(pointer(g_p) + start, pointer(g_q) + n * channels, pointer(t) + start,
                                    pointer(s) + n * channels, pointer(x) + start, channels, to + start, to_x + start,
                                    own, begin, end);
  });
  return {g_t, g_x, g_s};
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CPU, m) {
  m.impl("conv_layer", TORCH_BOX(&shoegen::conv_layer_cpu));
  m.impl("conv_layer_weight", TORCH_BOX(&shoegen::conv_layer_weight_cpu));
  m.impl("layer_backward", TORCH_BOX(&shoegen::layer_backward_cpu));
  m.impl("layer_backward_adjoint", TORCH_BOX(&shoegen::layer_backward_adjoint_cpu));
  m.impl("scale_dot", TORCH_BOX(&shoegen::scale_dot_cpu));
  m.impl("scale_dot_adjoint", TORCH_BOX(&shoegen::scale_dot_adjoint_cpu));
}
