import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from shoegen.data.images import write_image, write_part_map
from shoegen.data.labels import IGNORED, SHOE_PARTS, LabelMap
from shoegen.data.synthetic import make_dataset, render
from shoegen.errors import DataError
from shoegen.segmentation.config import SegmenterConfig
from shoegen.segmentation.data import SegmentationData
from shoegen.torch_utils.files import write_json

from ..tiny import tiny_segmenter_training


def folder_of(path, seeds, labels=SHOE_PARTS):
    """A data set with one picture for each seed; equal seeds are the same picture."""
    for number, seed in enumerate(seeds):
        shoe = render(0, seed, 32)
        write_image(path / "images" / f"{number:03}.png", shoe.image)
        write_part_map(path / "masks" / f"{number:03}.png", shoe.part_map, labels)
    write_json(path / "labels.json", labels.to_json())
    return path


def open_data(path, **changes):
    return SegmentationData(dataclasses.replace(tiny_segmenter_training(str(path)), **changes))


def test_copies_of_a_picture_are_never_learned_from_and_held_out(tmp_path):
    seeds = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    folder_of(tmp_path, seeds)
    for seed in range(5):
        data = open_data(tmp_path, val_share=0.5, seed=seed)
        assert not {seeds[i] for i in data.train} & {seeds[i] for i in data.val}
        assert sorted([*data.train, *data.val]) == list(range(10))
        assert len({seeds[i] for i in data.val}) == 2


def test_one_picture_many_times_cannot_be_split(tmp_path):
    with pytest.raises(DataError, match="1 picture"):
        open_data(folder_of(tmp_path, [0, 0, 0]))


def test_another_folder_to_validate_on(shoes, tmp_path):
    make_dataset(tmp_path / "val.zip", count=5, resolution=48, seed=1)
    data = open_data(shoes, val=str(tmp_path / "val.zip"))
    assert len(data.train) == 24
    assert len(data.val) == 5
    images, part_maps = data.samples(3)
    assert images.shape == (3, 3, 32, 32)
    assert part_maps.shape == (3, 32, 32)
    assert sum(len(images) for images, _ in data.validation(2)) == 5
    assert data.fingerprint != open_data(shoes).fingerprint


def test_shared_pictures_are_refused_unless_asked_for(shoes, tmp_path):
    copy = shutil.copy(shoes, tmp_path / "copy.zip")
    with pytest.raises(DataError, match=r"24 pictures of --val.*--allow-shared"):
        open_data(shoes, val=str(copy))
    assert len(open_data(shoes, val=str(copy), allow_shared=True).val) == 24


def test_validation_has_the_classes_of_the_training(shoes, tmp_path):
    other = LabelMap.from_names([f"part {i}" for i in range(len(SHOE_PARTS))])
    with pytest.raises(DataError, match="other classes than"):
        open_data(shoes, val=str(folder_of(tmp_path, [100], other)))


def test_pictures_need_not_be_square(shoes):
    model = SegmenterConfig(resolution=(64, 48))
    images, part_maps = open_data(shoes, model=model).samples(2)
    assert images.shape == (2, 3, 64, 48)
    assert part_maps.shape == (2, 64, 48)
    # 48 px of shoe, and as many rows of margin above it as below.
    assert not np.diff(images[:, :, :8].astype(int), axis=2).any()


def test_pixels_may_be_left_without_a_label(tmp_path):
    folder_of(tmp_path, [0, 1])
    path = tmp_path / "masks" / "000.png"
    part_map = np.array(Image.open(path))
    part_map[:4] = IGNORED
    Image.fromarray(part_map).save(path)
    data = open_data(tmp_path)
    assert any((data.dataset.part_map(i)[:4] == IGNORED).all() for i in range(2))
    assert float(data.frequencies().sum()) == pytest.approx(1)
    part_map[0, 0] = 254
    Image.fromarray(part_map).save(path)
    with pytest.raises(DataError, match="value 254 at 1 pixels"):
        open_data(tmp_path)


def test_margins_say_nothing(tmp_path):
    """A network that never sees a margin in use is neither taught it nor praised for it."""
    for number in range(3):
        write_image(tmp_path / "images" / f"{number}.png", np.full((30, 90, 3), 40 * number, np.uint8))
        write_part_map(tmp_path / "masks" / f"{number}.png", np.ones((30, 90), np.uint8), SHOE_PARTS)
    write_json(tmp_path / "labels.json", SHOE_PARTS.to_json())
    data = open_data(tmp_path)
    _, part_maps = data.samples(1)
    assert set(np.unique(part_maps)) == {1, IGNORED}
    assert data.frequencies()[1] == 1
