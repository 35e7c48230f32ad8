"""Pictures and part maps: reading, writing, fitting, sheets."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from shoegen.data.images import (
    FILTERS,
    check_channels,
    check_part_map,
    decode_image,
    decode_part_map,
    decode_picture,
    describe_fit,
    encode_part_map,
    encode_png,
    fit_image,
    fit_part_map,
    image_format,
    image_grid,
    read_image,
    read_part_map,
    resize,
    resize_part_map,
    write_image,
    write_part_map,
)
from shoegen.data.labels import SHOE_PARTS, LabelMap
from shoegen.errors import ConfigError, DataError, OutputError

rng = np.random.default_rng(0)
RGB = rng.integers(0, 256, (12, 16, 3), np.uint8)
GREY = RGB[..., 0]


def encode(image: Image.Image, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png(width: int, height: int, bit_depth: int, color_type: int, rows: bytes) -> bytes:
    """A PNG file by hand, for the kinds that Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def sized_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and has no pixels."""
    return png(width, height, 8, 2, b"")


class TestReadImage:
    def test_sources(self, tmp_path):
        path = tmp_path / "shoe.png"
        Image.fromarray(RGB).save(path)
        for source in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
            image = read_image(source)
            assert image.dtype == np.uint8
            np.testing.assert_array_equal(image, RGB)
        image[0] = 0  # writable

    @pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM"])
    def test_lossless_formats_need_no_conversion(self, format):
        image, conversions = decode_image(encode(Image.fromarray(RGB), format))
        np.testing.assert_array_equal(image, RGB)
        assert conversions == []

    @pytest.mark.parametrize("format", ["JPEG", "WEBP"])
    def test_lossy_formats(self, format):
        image, conversions = decode_image(encode(Image.new("RGB", (16, 12), (200, 40, 90)), format))
        np.testing.assert_allclose(image, np.full((12, 16, 3), (200, 40, 90)), atol=8)
        assert conversions == []

    def test_greyscale_expands(self):
        image, conversions = decode_image(encode(Image.fromarray(GREY)))
        np.testing.assert_array_equal(image, np.stack([GREY] * 3, 2))
        assert conversions == ["greyscale, expanded to RGB"]

    def test_one_bit(self):
        image, conversions = decode_image(encode(Image.fromarray(GREY > 127)))
        np.testing.assert_array_equal(image[..., 0], np.where(GREY > 127, 255, 0))
        assert conversions == ["greyscale, expanded to RGB"]

    def test_transparency_is_composited_over_white(self):
        rgba = np.zeros((2, 2, 4), np.uint8)
        rgba[0, 0] = (255, 0, 0, 255)
        rgba[0, 1] = (255, 0, 0, 128)
        image, conversions = decode_image(encode(Image.fromarray(rgba)))
        np.testing.assert_array_equal(image, [[[255, 0, 0], [255, 127, 127]], [[255] * 3, [255] * 3]])
        assert conversions == ["transparent, composited over white"]

    def test_grey_with_alpha(self):
        image, conversions = decode_image(encode(Image.new("LA", (3, 2), (10, 0))))
        assert (image == 255).all()
        assert conversions == ["greyscale, expanded to RGB", "transparent, composited over white"]

    def test_palette(self):
        image, conversions = decode_image(encode(Image.new("RGB", (3, 2), (9, 8, 7)).quantize()))
        assert (image == (9, 8, 7)).all()
        assert conversions == []

    @pytest.mark.parametrize("transparency", [0, b"\x00"])
    def test_palette_with_transparency(self, transparency):
        palette = Image.new("P", (3, 2), 0)
        palette.putpalette([9, 8, 7])
        image, conversions = decode_image(encode(palette, transparency=transparency))
        assert (image == 255).all()
        assert conversions == ["transparent, composited over white"]

    def test_grey_with_a_transparent_value(self):
        image, _ = decode_image(encode(Image.new("L", (3, 2), 40), transparency=40))
        assert (image == 255).all()

    def test_cmyk(self):
        image, conversions = decode_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
        np.testing.assert_allclose(image, np.full((8, 8, 3), (255, 0, 0)), atol=8)
        assert conversions == ["CMYK, converted to RGB"]

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_sixteen_bit_grey_is_scaled_and_not_clipped(self, format):
        values = np.array([[0, 257, 1000], [32768, 65278, 65535]], np.uint16)
        image, conversions = decode_image(encode(Image.fromarray(values), format))
        np.testing.assert_array_equal(image[..., 1], [[0, 1, 4], [128, 254, 255]])
        assert conversions == ["16-bit, scaled to 8 bit", "greyscale, expanded to RGB"]

    def test_sixteen_bit_rgb(self):
        values = np.array([0, 32768, 65535], ">u2").tobytes()
        image, conversions = decode_image(png(1, 1, 16, 2, b"\x00" + values))
        np.testing.assert_array_equal(image, [[[0, 128, 255]]])
        assert conversions == ["16-bit, scaled to 8 bit"]

    def test_integers_beyond_sixteen_bit_are_refused(self):
        with pytest.raises(DataError, match="values from 70000 to 70000"):
            decode_image(encode(Image.new("I", (2, 2), 70000), "TIFF"))

    def test_floating_point_is_refused(self):
        with pytest.raises(DataError, match="floating-point"):
            decode_image(encode(Image.new("F", (2, 2), 0.5), "TIFF"))

    def test_exif_orientation_is_applied(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # stored turned by 90° counter-clockwise
        image, conversions = decode_image(encode(Image.fromarray(RGB), exif=exif.tobytes()))
        np.testing.assert_array_equal(image, np.rot90(RGB, -1))
        assert conversions == ["turned upright as EXIF says"]

    def test_first_frame_of_an_animation(self):
        frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
        image, conversions = decode_image(encode(frames[0], "GIF", save_all=True, append_images=frames[1:]))
        assert (image == (255, 0, 0)).all()
        assert conversions == ["of several frames, the first taken"]

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
    def test_truncated(self, format, tmp_path):
        assert not ImageFile.LOAD_TRUNCATED_IMAGES
        noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
        path = tmp_path / "cut.png"
        data = encode(Image.fromarray(noise), format)
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=r"cannot read .*cut\.png: .*; replace the file"):
            read_image(path)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is empty"),
            (b"not a picture", "not a picture; expected one of PNG, JPEG"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
            (sized_header(64, 64), "damaged or truncated"),
        ],
    )
    def test_not_a_picture(self, tmp_path, content, reason):
        path = tmp_path / "shoe.jpg"
        path.write_bytes(content)
        with pytest.raises(DataError, match=reason) as caught:
            read_image(path)
        assert "shoe.jpg" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_missing(self, tmp_path):
        with pytest.raises(DataError, match="No such file"):
            read_image(tmp_path / "none.png")
        with pytest.raises(DataError, match="Is a directory"):
            read_image(tmp_path)
        with pytest.raises(DataError, match="null byte"):
            read_image("a\0b")
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(DataError, match="it is a pipe"):
            read_image(tmp_path / "pipe.png")

    def test_name_in_errors(self):
        with pytest.raises(DataError, match=r"cannot read upload 3: the file is empty"):
            read_image(b"", name="upload 3")

    @pytest.mark.parametrize(
        ("size", "reason"),
        [
            ((9500, 9500), "damaged"),
            ((12000, 12000), "12000x12000 pixels"),
            ((60000, 60000), "too many pixels"),
        ],
    )
    def test_pixel_cap_without_a_warning(self, size, reason):
        with pytest.raises(DataError, match=reason):
            read_image(sized_header(*size))

    def test_own_pixel_cap(self):
        assert read_image(encode_png(RGB), max_pixels=12 * 16).shape == (12, 16, 3)
        with pytest.raises(DataError, match="16x12 pixels; expected at most 191"):
            read_image(encode_png(RGB), max_pixels=191)

    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_damaged_bytes_give_a_picture_or_data_error(self, format, data):
        content = bytearray(encode(Image.fromarray(RGB), format))
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(DataError):
            image = read_image(bytes(content), max_pixels=10_000)
            assert image.ndim == 3
            assert image.shape[2] == 3


class TestPartMaps:
    part_map = rng.integers(0, 7, (10, 14), np.uint8)

    def test_round_trip(self, tmp_path):
        path = tmp_path / "map.png"
        write_part_map(path, self.part_map, SHOE_PARTS)
        np.testing.assert_array_equal(read_part_map(path, SHOE_PARTS), self.part_map)
        # Anyone else sees an 8-bit palette picture in the classes' colours.
        assert path.read_bytes()[24:26] == b"\x08\x03"
        with Image.open(path) as image:
            np.testing.assert_array_equal(image.convert("RGB"), SHOE_PARTS.colorize(self.part_map))

    def test_greyscale_and_one_bit_indices(self):
        np.testing.assert_array_equal(
            decode_part_map(encode(Image.fromarray(self.part_map)), SHOE_PARTS), self.part_map
        )
        binary = self.part_map > 3
        np.testing.assert_array_equal(decode_part_map(encode(Image.fromarray(binary)), SHOE_PARTS), binary)

    def test_four_bit_palette(self):
        image = Image.fromarray(self.part_map)
        image.putpalette(SHOE_PARTS.palette()[:16].tobytes())
        np.testing.assert_array_equal(decode_part_map(encode(image, bits=4), SHOE_PARTS), self.part_map)

    def test_four_bit_greyscale_is_refused(self):
        # Pillow would read the indices 1 and 2 as 17 and 34.
        with pytest.raises(DataError, match="8-bit PNG of class indices, got a picture of mode L;4"):
            decode_part_map(png(2, 1, 4, 0, b"\x00\x12"), SHOE_PARTS)

    def test_value_without_class(self, tmp_path):
        wrong = self.part_map.copy()
        wrong[0, :3] = 9
        wrong[1, 0] = 200
        path = tmp_path / "map.png"
        Image.fromarray(wrong).save(path)
        with pytest.raises(
            DataError, match=r"map\.png: value 9 at 3 pixels .*\(4 such .*expected 0\.\.6 \(back"
        ):
            read_part_map(path, SHOE_PARTS)
        with pytest.raises(DataError, match="value 9"):
            encode_part_map(wrong, SHOE_PARTS)

    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "I;16"])
    def test_not_an_index_picture(self, mode):
        with pytest.raises(DataError, match="8-bit PNG of class indices, got a picture of mode"):
            decode_part_map(encode(Image.new(mode, (4, 4))), SHOE_PARTS)

    def test_lossy_format_is_refused(self):
        with pytest.raises(DataError, match="expected one of PNG"):
            decode_part_map(encode(Image.fromarray(self.part_map), "JPEG"), SHOE_PARTS)

    def test_truncated(self):
        data = encode_part_map(rng.integers(0, 7, (64, 64), np.uint8), SHOE_PARTS)
        with pytest.raises(DataError, match="damaged or truncated"):
            decode_part_map(data[: len(data) // 2], SHOE_PARTS)

    def test_wrong_arrays(self):
        with pytest.raises(DataError, match=r"\(4, 4, 3\) of uint8; expected \(H, W\)"):
            check_part_map(np.zeros((4, 4, 3), np.uint8), SHOE_PARTS)
        with pytest.raises(DataError, match="int64"):
            encode_part_map(np.zeros((4, 4), np.int64), SHOE_PARTS)

    def test_only_png(self, tmp_path):
        with pytest.raises(ConfigError, match=r"expected the suffix \.png"):
            write_part_map(tmp_path / "map.jpg", self.part_map, SHOE_PARTS)
        assert list(tmp_path.iterdir()) == []


class TestWriteImage:
    @pytest.mark.parametrize(
        ("suffix", "tolerance"), [(".png", 0), (".PNG", 0), (".jpg", 6), (".jpeg", 6), (".webp", 8)]
    )
    def test_round_trip(self, tmp_path, suffix, tolerance):
        y, x = np.mgrid[:32, :48]
        image = np.stack([5 * x, 7 * y, 3 * (x + y)], 2).astype(np.uint8)
        path = tmp_path / f"shoe{suffix}"
        write_image(path, image)
        np.testing.assert_allclose(read_image(path).astype(int), image, atol=tolerance)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]

    def test_greyscale(self, tmp_path):
        write_image(tmp_path / "grey.png", GREY)
        np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 2], GREY)

    @pytest.mark.parametrize("name", ["shoe.xyz", "shoe", "shoe.gif"])
    def test_unknown_suffix(self, tmp_path, name):
        with pytest.raises(ConfigError, match=r"expected \.png, \.jpg, \.jpeg, \.webp"):
            write_image(tmp_path / name, RGB)
        assert list(tmp_path.iterdir()) == []

    def test_format_can_be_asked_for_first(self):
        assert image_format("a/b.JPG") == "JPEG"

    def test_unwritable(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError):
            write_image(tmp_path / "file" / "shoe.png", RGB)

    def test_too_large_for_the_format(self, tmp_path):
        with pytest.raises(OutputError, match=r"WEBP cannot hold 20000x1 pixels; use \.png"):
            write_image(tmp_path / "wide.webp", np.zeros((1, 20000, 3), np.uint8))
        with pytest.raises(OutputError, match="JPEG cannot hold"):
            write_image(tmp_path / "wide.jpg", np.zeros((1, 70000, 3), np.uint8))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("image", [RGB.astype(np.float32), RGB[None], RGB[..., :2], RGB[:0]])
    def test_wrong_arrays(self, image):
        with pytest.raises(DataError, match=r"expected \(H, W, 3\) or \(H, W\) of uint8"):
            encode_png(image)

    def test_non_contiguous(self):
        np.testing.assert_array_equal(read_image(encode_png(RGB[:, ::-1])), RGB[:, ::-1])


class TestResize:
    def test_integer_reduction_averages(self):
        image = rng.integers(0, 256, (8, 12, 3), np.uint8)
        means = image.reshape(4, 2, 4, 3, 3).mean((1, 3))
        np.testing.assert_allclose(resize(image, (4, 4)), means, atol=0.51)

    def test_constant_stays(self):
        assert (resize(np.full((50, 37, 3), 93, np.uint8), (17, 64)) == 93).all()

    def test_part_map_majority(self):
        part_map = np.array([[1, 1, 2, 2], [1, 3, 2, 2], [0, 0, 4, 5], [0, 4, 6, 6]], np.uint8)
        np.testing.assert_array_equal(resize_part_map(part_map, (2, 2)), [[1, 2], [0, 6]])

    def test_part_map_tie_goes_to_the_lower_class(self):
        np.testing.assert_array_equal(resize_part_map(np.array([[5, 2], [2, 5]], np.uint8), (1, 1)), [[2]])

    def test_part_map_enlarged(self):
        part_map = np.array([[1, 2], [3, 4]], np.uint8)
        np.testing.assert_array_equal(resize_part_map(part_map, (4, 6)), part_map.repeat(2, 0).repeat(3, 1))

    @settings(max_examples=50, deadline=None)
    @given(
        height=st.integers(1, 40), width=st.integers(1, 40), factor=st.integers(1, 5), seed=st.integers(0, 99)
    )
    def test_part_map_majority_is_exact(self, height, width, factor, seed):
        part_map = np.random.default_rng(seed).integers(0, 4, (height * factor, width * factor), np.uint8)
        blocks = part_map.reshape(height, factor, width, factor)
        counts = np.stack([(blocks == label).sum((1, 3)) for label in range(4)])
        np.testing.assert_array_equal(resize_part_map(part_map, (height, width)), counts.argmax(0))

    @settings(max_examples=50, deadline=None)
    @given(*[st.integers(1, 60)] * 4)
    def test_part_map_invents_no_class(self, height, width, new_height, new_width):
        part_map = np.random.default_rng(0).choice(np.array([0, 3, 6], np.uint8), (height, width))
        resized = resize_part_map(part_map, (new_height, new_width))
        assert resized.shape == (new_height, new_width)
        assert set(resized.ravel()) <= set(part_map.ravel())


side = st.integers(1, 90)


class TestFit:
    @settings(max_examples=150, deadline=None)
    @given(side, side, side, side, st.sampled_from(["crop", "pad"]))
    def test_shapes(self, height, width, new_height, new_width, fit):
        image = np.full((height, width, 3), 200, np.uint8)
        part_map = np.full((height, width), 3, np.uint8)
        fitted = fit_image(image, (new_height, new_width), fit)
        assert fitted.shape == (new_height, new_width, 3)
        assert (fitted == 200).all()  # the margin has the border's colour
        fitted_map = fit_part_map(part_map, (new_height, new_width), fit)
        assert fitted_map.shape == (new_height, new_width)
        assert set(fitted_map.ravel()) <= ({3} if fit == "crop" else {0, 3})

    @settings(max_examples=100, deadline=None)
    @given(side, side, st.integers(1, 4))
    def test_strict_takes_the_same_shape(self, height, width, factor):
        image = np.zeros((height * factor, width * factor, 3), np.uint8)
        assert fit_image(image, (height, width)).shape == (height, width, 3)
        assert fit_image(image[:height, :width], image.shape[:2]).shape == image.shape

    def test_strict_allows_one_pixel(self):
        assert fit_image(np.zeros((533, 400, 3), np.uint8), (128, 96)).shape == (128, 96, 3)
        with pytest.raises(DataError, match=r"260x256 \(width x height\) and has not the shape of 64x64"):
            fit_image(np.zeros((256, 260, 3), np.uint8), (64, 64))
        with pytest.raises(DataError, match="--fit crop or --fit pad"):
            fit_part_map(np.zeros((256, 260), np.uint8), (64, 64))

    def test_crop_takes_the_centre(self):
        image = np.zeros((10, 30, 3), np.uint8)
        image[:, 10:20] = 255
        assert (fit_image(image, (10, 10), "crop") == 255).all()

    def test_pad_centres_on_the_border_colour(self):
        image = np.full((10, 20, 3), (250, 240, 230), np.uint8)
        image[3:7, 5:15] = 0
        fitted = fit_image(image, (20, 20), "pad")
        np.testing.assert_array_equal(fitted[5:15], image)
        assert (fitted[:5] == (250, 240, 230)).all()
        assert (fitted[15:] == (250, 240, 230)).all()

    @pytest.mark.parametrize("fit", ["crop", "pad"])
    def test_part_map_follows_its_picture(self, fit):
        part_map = np.zeros((60, 100), np.uint8)
        part_map[20:50, 30:90] = 1
        image = np.stack([255 * part_map] * 3, 2)
        fitted = fit_image(image, (32, 32), fit)[..., 0] > 127
        differing = fitted != fit_part_map(part_map, (32, 32), fit).astype(bool)
        assert differing.mean() < 0.03  # the outline at most

    def test_unknown_fit(self):
        with pytest.raises(ConfigError, match="got 'stretch', expected one of strict, crop, pad"):
            fit_image(RGB, (8, 8), "stretch")


class TestGrid:
    tiles = np.stack([np.full((8, 6, 3), value, np.uint8) for value in (10, 20, 30, 40, 50)])

    def test_layout(self):
        sheet = image_grid(self.tiles, 3, gap=2, background=0)
        assert sheet.shape == (18, 22, 3)
        assert sheet[0, 0, 0] == 10
        assert sheet[0, 8, 0] == 20
        assert sheet[0, 6, 0] == 0
        assert sheet[10, 8, 0] == 50
        assert sheet[10, 16, 0] == 0  # an empty place

    def test_few_pictures(self):
        assert image_grid(self.tiles[:2], 10, gap=0).shape == (8, 12, 3)
        np.testing.assert_array_equal(image_grid(self.tiles[:1], 10), self.tiles[0])

    @pytest.mark.parametrize("width", [32, 64, 256])
    def test_captions(self, width):
        tiles = np.full((3, 32, width, 3), 100, np.uint8)
        plain = image_grid(tiles, 3, gap=4)
        sheet = image_grid(tiles, 3, gap=4, captions=["−2.0", "+1.0\n62.1 mm", ""])
        assert sheet.shape[0] > plain.shape[0]
        np.testing.assert_array_equal(sheet[:32], plain)
        text = sheet[32:].min((0, 2))
        assert text[:width].min() < 100
        assert text[width + 4 : 2 * width + 4].min() < 100
        assert (text[2 * width + 8 :] == 255).all()
        assert (text[[width, 2 * width + 5]] == 255).all()  # gaps stay clear

    def test_captions_on_black(self):
        assert image_grid(self.tiles, 5, background=0, captions=["a"] * 5)[8:].max() > 200

    def test_long_captions_keep_the_size(self):
        sheet = image_grid(self.tiles, 5, captions=["a very long caption that cannot fit"] * 5)
        assert sheet.shape[1] == image_grid(self.tiles, 5).shape[1]

    def test_errors(self):
        with pytest.raises(ConfigError, match="columns: got 0"):
            image_grid(self.tiles, 0)
        with pytest.raises(DataError, match="all of one size"):
            image_grid([self.tiles[0], RGB], 2)
        with pytest.raises(DataError, match="got 0 pictures"):
            image_grid([], 2)
        with pytest.raises(DataError, match="got 1 captions for 5 pictures"):
            image_grid(self.tiles, 2, captions=["a"])


def test_loads_no_torch():
    code = "import sys, shoegen.data.images, shoegen.data.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_all_256_classes():
    labels = LabelMap.from_names([f"class {i}" for i in range(256)])
    part_map = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decode_part_map(encode_part_map(part_map, labels), labels), part_map)


class TestChannels:
    rgba = np.dstack([RGB, np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)])

    def test_rgba_is_kept(self):
        image, conversions = decode_image(encode(Image.fromarray(self.rgba)), channels=4)
        np.testing.assert_array_equal(image, self.rgba)
        assert conversions == []

    @pytest.mark.parametrize(
        ("picture", "conversions"),
        [
            (Image.fromarray(RGB), []),
            (Image.fromarray(GREY), ["greyscale, expanded to RGBA"]),
            (Image.fromarray(RGB).convert("CMYK"), ["CMYK, converted to RGBA"]),
            (Image.fromarray(RGB).quantize(), []),
        ],
    )
    def test_others_become_opaque(self, picture, conversions):
        image, said = decode_image(encode(picture, "TIFF"), channels=4)
        np.testing.assert_array_equal(image[..., :3], picture.convert("RGB"))
        assert (image[..., 3] == 255).all()
        assert said == [*conversions, "without transparency, made opaque"]

    def test_grey_with_alpha_to_rgba(self):
        image, said = decode_image(encode(Image.new("LA", (3, 2), (10, 20))), channels=4)
        assert (image == (10, 10, 10, 20)).all()
        assert said == ["greyscale, expanded to RGBA"]

    def test_luminance(self):
        image, said = decode_image(encode(Image.fromarray(RGB)), channels=1)
        np.testing.assert_allclose(image, RGB @ (0.299, 0.587, 0.114), atol=1)
        assert said == ["colour, reduced to luminance"]
        image, said = decode_image(encode(Image.fromarray(GREY)), channels=1)
        np.testing.assert_array_equal(image, GREY)
        assert said == []

    def test_transparent_luminance(self):
        image, said = decode_image(encode(Image.new("LA", (3, 2), (10, 0))), channels=1)
        assert (image == 255).all()
        assert said == ["transparent, composited over white"]

    def test_mode(self):
        values = np.zeros((2, 2), np.uint16)
        assert decode_picture(encode(Image.fromarray(RGB), "JPEG")).mode == "JPEG RGB"
        assert decode_picture(encode(Image.fromarray(RGB).quantize())).mode == "PNG palette"
        assert decode_picture(encode(Image.fromarray(values))).mode == "PNG greyscale 16-bit"
        assert decode_picture(png(1, 1, 16, 2, bytes(7))).mode == "PNG RGB 16-bit"

    @pytest.mark.parametrize("channels", [0, 2, 5])
    def test_bad_channels(self, channels):
        with pytest.raises(ConfigError, match=r"expected one of 1 \(greyscale\), 3 \(RGB\), 4 \(RGBA\)"):
            check_channels(channels)

    def test_hidden_colours_do_not_bleed(self):
        image = np.zeros((8, 8, 4), np.uint8)
        image[:, :4] = (0, 200, 0, 255)
        image[:, 4:] = (255, 0, 0, 0)  # red that nobody sees
        for filter in ("auto", "bicubic", "box"):
            small = resize(image, (3, 3), filter)
            assert (small[:, :2, 0] == 0).all()
            assert (small[:, :2, 1] >= 199).all()

    @pytest.mark.parametrize("image", [RGB, GREY, np.dstack([RGB, GREY])])
    @pytest.mark.parametrize("fit", ["crop", "pad"])
    def test_fit(self, image, fit):
        fitted = fit_image(image, (10, 10), fit)
        assert fitted.shape == (10, 10, *image.shape[2:])

    def test_transparent_margin(self):
        image = np.zeros((4, 8, 4), np.uint8)
        image[1:3, 1:7] = 255
        fitted = fit_image(image, (8, 8), "pad")
        assert (fitted[:2] == 0).all()
        assert (fitted[3:5, 1:7] == 255).all()

    def test_sheets(self):
        sheet = image_grid([self.rgba] * 3, columns=2, captions=["a", "b", "c"])
        assert sheet.shape[2] == 4
        np.testing.assert_array_equal(sheet[:12, :16], self.rgba)
        assert (sheet[-1, -1] == 255).all()
        grey = image_grid(GREY[None, ..., None], columns=1)
        np.testing.assert_array_equal(grey, np.stack([GREY] * 3, 2))

    def test_written(self, tmp_path):
        write_image(tmp_path / "a.png", self.rgba)
        image, _ = decode_image((tmp_path / "a.png").read_bytes(), channels=4)
        np.testing.assert_array_equal(image, self.rgba)
        write_image(tmp_path / "grey.png", GREY[..., None])
        assert decode_picture((tmp_path / "grey.png").read_bytes()).mode == "PNG greyscale"
        with pytest.raises(OutputError, match=r"a\.jpg: JPEG has no transparency; use \.png"):
            write_image(tmp_path / "a.jpg", self.rgba)
        assert not (tmp_path / "a.jpg").exists()


class TestFilters:
    def test_they_differ(self):
        results = {filter: resize(RGB, (5, 7), filter).tobytes() for filter in FILTERS}
        assert results["auto"] == results["lanczos"]
        assert len(set(results.values())) == len(FILTERS) - 1

    @pytest.mark.parametrize("filter", FILTERS)
    def test_flat_stays_flat(self, filter):
        assert (fit_image(np.full((9, 30, 3), 77, np.uint8), (7, 7), "pad", filter) == 77).all()

    def test_whole_reduction(self):
        means = RGB.reshape(6, 2, 8, 2, 3).mean((1, 3))
        np.testing.assert_allclose(resize(RGB, (6, 8)), means, atol=0.51)
        assert not np.allclose(resize(RGB, (6, 8), "lanczos"), means, atol=0.51)

    def test_unknown(self):
        with pytest.raises(ConfigError, match="filter: got 'nearest', expected one of auto, lanczos"):
            resize(RGB, (4, 4), "nearest")


@pytest.mark.parametrize(
    ("source", "fit", "said"),
    [
        ((64, 64), "strict", []),
        ((65, 64), "crop", []),
        ((128, 64), "crop", ["cut to the shape of 64x64"]),
        ((60, 90), "crop", ["cut to the shape of 64x64", "smaller than 64x64, enlarged"]),
        ((60, 90), "pad", ["given a margin to the shape of 64x64"]),
        ((60, 60), "strict", ["smaller than 64x64, enlarged"]),
    ],
)
def test_describe_fit(source, fit, said):
    assert describe_fit(source, (64, 64), fit) == said
