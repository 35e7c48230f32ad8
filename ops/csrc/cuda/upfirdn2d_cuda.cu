#include <limits>
#include <type_traits>
#include <vector>

#include "tensors.cuh"
// after the numbers that it computes with
#include "upfirdn2d.cuh"

namespace shoegen {

namespace {

constexpr int kThreads = 256;
constexpr size_t kSharedMemory = 48 * 1024;  // what every GPU gives a block without asking

// Any factors, filter and layout.
template <typename T, int count, bool channels_last, typename Index>
__global__ void __launch_bounds__(kThreads) direct(Upfirdn op, const T* x, const computing<T>* f, T* y, Index packs) {
  const Index step = Index(gridDim.x) * kThreads;
  for (Index p = Index(blockIdx.x) * kThreads + threadIdx.x; p < packs; p += step) {
    computing<T> sums[count];
    filter_directly<T, count, channels_last, Index>(op, x, f, p * count, sums);
    Pack<T, count> out;
#pragma unroll
    for (int k = 0; k < count; k++) out.at[k] = store<T>(sums[k]);
    reinterpret_cast<Pack<T, count>*>(y)[p] = out;
  }
}

// One channel of an image after the other, by tiles; the same factors along both axes.
template <typename T, int up, int down, int known_taps>
__global__ void __launch_bounds__(kTileThreads) tiled(Upfirdn op, const T* x, const computing<T>* f, T* y, int64_t planes) {
  using C = computing<T>;
  extern __shared__ double shared[];
  const Tile tile(op, blockIdx.x);
  C* taps = reinterpret_cast<C*>(shared);
  C* inputs = taps + (op.separable ? 2 * op.taps_x : op.taps_x * op.taps_y);
  C* across = inputs + tile.rows * tile.columns;
  for (int64_t plane = blockIdx.y; plane < planes; plane += gridDim.y) {
    const T* image = x + plane / op.channels * op.image_stride + plane % op.channels * op.channel_stride;
    fetch(op, tile, image, f, taps, inputs, threadIdx.x);
    __syncthreads();
    if (op.separable) {
      filter_rows<up, down>(op, tile, taps, inputs, across, threadIdx.x);
      __syncthreads();
    }
    T* out = y + plane * op.out_height * op.out_width;
    filter_tile<up, down, known_taps>(op, tile, taps, inputs, across, threadIdx.x, [&](int ox, int oy, C value) {
      out[int64_t(oy) * op.out_width + ox] = store<T>(value);
    });
    __syncthreads();  // before the next plane's inputs take the place of these
  }
}

template <typename T>
void launch_direct(const Upfirdn& op, bool channels_last, const T* x, const computing<T>* f, T* y, int64_t outputs,
                   cudaStream_t stream) {
  constexpr int most = 16 / sizeof(T);
  const auto launch = [&](auto count, auto last, auto index) {
    using Index = decltype(index);
    const int64_t packs = outputs / count;
    direct<T, count, last><<<blocks_for(packs, kThreads), kThreads, 0, stream>>>(op, x, f, y, Index(packs));
  };
  const auto with_index = [&](auto count, auto last) {
    // The loop's last step may go beyond the end by as many threads as there are.
    if (outputs < int64_t(3) << 30)
      launch(count, last, uint32_t());
    else
      launch(count, last, uint64_t());
  };
  if (!channels_last)
    with_index(std::integral_constant<int, 1>(), std::false_type());
  else if (op.channels % most == 0 && is_aligned(x, 16) && is_aligned(y, 16))
    with_index(std::integral_constant<int, most>(), std::true_type());
  else
    with_index(std::integral_constant<int, 1>(), std::true_type());
}

// Whether the tiled kernel did it.
template <typename T>
bool launch_tiled(const Upfirdn& op, const T* x, const computing<T>* f, T* y, int64_t planes, cudaStream_t stream) {
  const bool known_factors = op.up_x == op.up_y && op.down_x == op.down_y && op.up_x * op.down_x <= 2;
  if (!known_factors || int64_t(op.out_height) * op.out_width < kTileWidth * kTileHeight) return false;
  const int64_t columns = ((kTileWidth - 1) * op.down_x + op.taps_x) / op.up_x + 1;
  const int64_t rows = ((kTileHeight - 1) * op.down_y + op.taps_y) / op.up_y + 1;
  const int64_t taps = op.separable ? 2 * op.taps_x : int64_t(op.taps_x) * op.taps_y;
  const size_t bytes = (taps + rows * columns + (op.separable ? rows * kTileWidth : 0)) * sizeof(computing<T>);
  if (bytes > kSharedMemory) return false;
  const int64_t across = (op.out_width + kTileWidth - 1) / kTileWidth;
  const int64_t tiles = across * ((op.out_height + kTileHeight - 1) / kTileHeight);
  const dim3 grid(unsigned(tiles), unsigned(std::min<int64_t>(planes, 65535)));
  const bool four = !op.separable && op.taps_x == 4 && op.taps_y == 4;
  const auto launch = [&](auto up, auto down) {
    if (four)
      tiled<T, up, down, 4><<<grid, kTileThreads, bytes, stream>>>(op, x, f, y, planes);
    else
      tiled<T, up, down, 0><<<grid, kTileThreads, bytes, stream>>>(op, x, f, y, planes);
  };
  using one = std::integral_constant<int, 1>;
  using two = std::integral_constant<int, 2>;
  if (op.up_x == 2)
    launch(two(), one());
  else if (op.down_x == 2)
    launch(one(), two());
  else
    launch(one(), one());
  return true;
}

Tensor upfirdn2d_cuda(
    const Tensor& x, const Tensor& f, const std::vector<int64_t>& up, const std::vector<int64_t>& down,
    const std::vector<int64_t>& padding, bool flip_filter, double gain) {
  STD_TORCH_CHECK(x.dim() == 4, "upfirdn2d: x must be (N, C, H, W)");
  STD_TORCH_CHECK(f.dim() >= 1 && f.dim() <= 2 && f.numel() > 0, "upfirdn2d: the filter must be (h, w) or (n,)");
  STD_TORCH_CHECK(
      up.size() == 2 && down.size() == 2 && padding.size() == 4 && up[0] > 0 && up[1] > 0 && down[0] > 0 && down[1] > 0,
      "upfirdn2d: up and down must be two positive numbers, padding four numbers");
  STD_TORCH_CHECK(
      f.is_cuda() && f.get_device_index() == x.get_device_index() &&
          f.scalar_type() == (x.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float),
      "upfirdn2d: the filter must be on x's device, float64 for float64 and else float32");
  const torch::stable::accelerator::DeviceGuard guard(x.get_device_index());
  const bool last = is_channels_last(x);
  const int64_t taps_x = f.size(f.dim() - 1), taps_y = f.size(0);
  const int64_t height = x.size(2) * up[1] + padding[2] + padding[3], width = x.size(3) * up[0] + padding[0] + padding[1];
  STD_TORCH_CHECK(height >= taps_y && width >= taps_x, "upfirdn2d: the padded image is smaller than the filter");
  // Places within an image are int; where an image begins is 64 bits wide.
  const int64_t most = std::numeric_limits<int>::max() / 2;
  STD_TORCH_CHECK(
      height < most && width < most && x.size(1) < most && taps_x * taps_y < most && up[0] < most && up[1] < most &&
          down[0] < most && down[1] < most && std::abs(padding[0]) < most && std::abs(padding[2]) < most,
      "upfirdn2d: a side is longer than a CUDA kernel can count");
  const int64_t out_height = (height - taps_y) / down[1] + 1, out_width = (width - taps_x) / down[0] + 1;
  Tensor y = empty_image(x, x.size(0), x.size(1), out_height, out_width);
  if (y.numel() == 0) return y;

  Upfirdn op{};
  op.channels = int(x.size(1)), op.in_height = int(x.size(2)), op.in_width = int(x.size(3));
  op.out_height = int(out_height), op.out_width = int(out_width);
  op.image_stride = x.stride(0), op.channel_stride = x.stride(1), op.row_stride = x.stride(2);
  op.pixel_stride = x.stride(3);
  op.up_x = int(up[0]), op.up_y = int(up[1]), op.down_x = int(down[0]), op.down_y = int(down[1]);
  op.left = int(padding[0]), op.top = int(padding[2]);
  op.taps_x = int(taps_x), op.taps_y = int(taps_y);
  op.separable = f.dim() == 1, op.flip_filter = flip_filter, op.gain = gain;
  const Tensor taps = torch::stable::contiguous(f);
  with_number(x.scalar_type(), "upfirdn2d", [&](auto zero) {
    using T = decltype(zero);
    const T* from = data<T>(x);
    const auto* filter = data<computing<T>>(taps);
    T* to = mutable_data<T>(y);
    const int64_t planes = x.size(0) * x.size(1);
    if (last || !launch_tiled(op, from, filter, to, planes, stream_of(x)))
      launch_direct(op, last, from, filter, to, y.numel(), stream_of(x));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
  return y;
}

}  // namespace

}  // namespace shoegen

STABLE_TORCH_LIBRARY_IMPL(shoegen, CUDA, m) {
  m.impl("upfirdn2d", TORCH_BOX(&shoegen::upfirdn2d_cuda));
}
