import numpy as np
import pytest

from shoegen.errors import ConfigError, DataError
from shoegen.segmentation import shoes
from shoegen.segmentation.shoes import find_masks, separate


@pytest.fixture
def specks():
    """Two shoes, the larger at the right, among specks."""
    mask = np.zeros((200, 300), bool)
    mask[5:195:10, 5:150:20] = True
    mask[20:60, 200:280] = mask[120:150, 160:200] = True
    return mask


def test_specks_are_left_out_and_the_rest_is_in_order(specks):
    left, right = separate(specks, speck=0.02)
    assert (left.sum(), right.sum()) == (30 * 40, 40 * 80)
    assert left.dtype == bool
    assert left[120:150, 160:200].all()
    pieces = separate(specks)
    assert len(pieces) == 19 * 8 + 2
    starts = [np.flatnonzero(piece.any(0))[0] for piece in pieces]
    assert starts == sorted(starts)
    assert np.array_equal(np.sum(pieces, 0), specks)
    assert separate(np.zeros((20, 30), bool)) == []


def test_specks_take_no_mask_each(specks, monkeypatch):
    """A piece costs one comparison of the whole numbered picture."""
    made = []

    class Counted(np.ndarray):
        def __eq__(self, other):
            made.append(other)
            return super().__eq__(other)

    original = shoes.cv2.connectedComponents

    def counted(*arguments):
        count, numbers = original(*arguments)
        return count, numbers.view(Counted)

    monkeypatch.setattr(shoes.cv2, "connectedComponents", counted)
    assert len(separate(specks, speck=0.02)) == 2
    assert len(made) < 5
    made.clear()
    image = np.zeros((200, 300, 3), np.uint8)
    assert find_masks(image, mask=specks, instance=154)[0].sum() == 40 * 80
    assert len(made) < 5


def test_masks_that_are_given():
    image, mask = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), bool)
    mask[10:20, 10:20] = mask[10:20, 40:50] = True
    for given in mask, mask.astype(np.uint8), np.where(mask, 200, 90).astype(np.uint8):
        assert np.array_equal(find_masks(image, mask=given)[0], mask)
    (second,) = find_masks(image, mask=mask, instance=2)
    assert second.sum() == 100
    assert second[:, 40:].any()
    with pytest.raises(DataError, match="--instance: got 3, but found 2"):
        find_masks(image, mask=mask, instance=3)
    with pytest.raises(DataError, match="black all over"):
        find_masks(image, mask=np.full((40, 60), 127, np.uint8))
    with pytest.raises(ConfigError, match="of int64, expected"):
        find_masks(image, mask=mask.astype(np.int64))
