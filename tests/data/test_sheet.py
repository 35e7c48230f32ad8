import numpy as np
import pytest

import shoegen
from shoegen.data.images import read_image
from shoegen.errors import ConfigError, DataError

RED = np.full((10, 10, 3), (255, 0, 0), np.uint8)
WIDE_GREY = np.full((20, 40), 128, np.uint8)


def test_pictures_of_any_size_and_kind(tmp_path):
    sheet = shoegen.sheet([RED, WIDE_GREY, shoegen.sheet([RED], side=30)], 2, side=20)
    assert sheet.image.shape == (20 + 2 + 20, 20 + 2 + 20, 3)
    assert (sheet.image[:20, :20] == (255, 0, 0)).all()
    assert (sheet.image[:20, 22:] == 128).all()
    assert (sheet.image[22:, :20] == (255, 0, 0)).all()
    assert repr(sheet) == "Sheet(42x42)"
    sheet.save(tmp_path / "sheet.png")
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png"), sheet.image)
    (tmp_path / "shown.png").write_bytes(sheet._repr_png_())
    np.testing.assert_array_equal(read_image(tmp_path / "shown.png"), sheet.image)


def test_transparency_stays_beside_colours():
    clear = np.zeros((8, 8, 4), np.uint8)
    sheet = shoegen.sheet([clear, RED], side=8)
    assert sheet.image[0, 0, 3] == 0
    assert sheet.image[0, -1].tolist() == [255, 0, 0, 255]


def test_captions_are_texts():
    plain, captioned = (shoegen.sheet([RED, RED], captions=captions) for captions in (None, [7, "-1"]))
    assert captioned.image.shape[0] > plain.image.shape[0]


@pytest.mark.parametrize(
    ("pictures", "settings", "error", "message"),
    [
        ([], {}, DataError, "got 0 pictures"),
        ([RED.astype(float)], {}, DataError, "float64"),
        (["shoe.png"], {}, DataError, "expected a picture"),
        ([np.zeros((4, 4, 2), np.uint8)], {}, DataError, "expected a picture"),
        ([RED], {"captions": ["a", "b"]}, DataError, "2 captions for 1"),
        ([RED], {"side": 0}, ConfigError, "side: got 0"),
        ([RED], {"columns": 0}, ConfigError, "columns: got 0"),
    ],
)
def test_what_is_refused(pictures, settings, error, message):
    with pytest.raises(error, match=message):
        shoegen.sheet(pictures, **settings)
