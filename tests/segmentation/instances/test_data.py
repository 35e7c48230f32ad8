import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from shoegen.data.annotations import Rle
from shoegen.data.images import write_part_map
from shoegen.data.labels import LabelMap
from shoegen.errors import ConfigError, DataError
from shoegen.segmentation.instances.data import InstanceData, InstanceSet, Truth
from shoegen.segmentation.instances.trainer import InstanceTrainer

from .tiny import COLORS, TINY, coco, draw, rectangles, tiny_training, write_json, write_pictures


def box(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min()


def test_pictures_and_masks_come_to_the_networks_size(street):
    data = InstanceSet(str(street), None, replace(TINY, resolution=(128, 128)))
    assert data.labels.names == ("background", "shoe", "bag")
    sample = data.sample(1)
    assert sample.image.shape == (3, 104, 128)
    assert sample.masks.shape == (2, 104, 128)
    assert sample.labels.tolist() == [1, 2]
    for mask, (_, *expected) in zip(sample.masks, rectangles(1)):
        assert box(mask) == tuple(2 * each for each in expected)
    assert data.truths[1].size == (52, 64)


def test_every_form_of_the_data_is_the_same(street, tmp_path):
    with zipfile.ZipFile(tmp_path / "street.zip", "w") as archive:
        for path in sorted(street.rglob("*.*")):
            archive.write(path, path.relative_to(street))
    pictures = str(street / "images")
    alone = write_json(tmp_path / "coco.json", coco(8))
    sets = [
        InstanceSet(str(street), None, TINY),
        InstanceSet(str(tmp_path / "street.zip"), None, TINY),
        InstanceSet(str(alone), pictures, TINY),
    ]
    assert sets[0].content == sets[1].content == sets[2].content


def test_part_maps_become_their_components(tmp_path):
    folder = tmp_path / "maps"
    write_pictures(folder / "images", 2)
    labels = LabelMap.from_names(["background", *COLORS])
    write_json(folder / "labels.json", list(labels.names))
    for i in range(2):
        part_map = np.zeros(draw(i).shape[:2], np.uint8)
        for name, left, top, width, height in rectangles(i):
            part_map[top : top + height, left : left + width] = labels.index(name)
        write_part_map(folder / "masks" / f"{i}.png", part_map, labels)
    found = InstanceSet(str(folder), None, TINY)
    assert [each.labels for each in found.truths] == [(1,), (1, 2)]


def test_crowds_what_vanishes_and_empty_pictures_are_told(tmp_path):
    value = coco(4, lambda i: [] if i == 3 else [*rectangles(i), ("shoe", 60, 40, 1, 1)])
    value["annotations"][0]["iscrowd"] = 1
    path = write_json(tmp_path / "coco.json", value)
    pictures = str(write_pictures(tmp_path / "pictures", 4))
    data = InstanceSet(str(path), pictures, replace(TINY, resolution=32))
    text = "\n".join(data.notes)
    assert "1 of 7 instances are crowds" in text
    assert "3 of 7 instances vanish" in text
    assert "2 of 4 pictures have no instances" in text
    assert data.truths[0].crowds == (True, False)
    assert len(data.sample(0).labels) == len(data.sample(3).labels) == 0
    assert data.sample(3).masks.shape == (0, 24, 32)


def test_what_is_not_cached_is_read_again(street):
    kept, read = (InstanceSet(str(street), None, TINY, cache_bytes=room) for room in (2**30, 0))
    for i in range(8):
        np.testing.assert_array_equal(kept.scaled(i), read.scaled(i))


def test_parts_follow_from_the_seed_and_may_be_other_data(street, tmp_path):
    data = InstanceData(tiny_training(street))
    assert sorted([*data.train, *data.val]) == list(range(8))
    assert (data.val == InstanceData(tiny_training(street)).val).all()
    with pytest.raises(DataError, match=r"8 pictures of --val .* are among those to learn from"):
        InstanceData(tiny_training(street, val=str(street)))
    both = InstanceData(tiny_training(street, val=str(street), allow_shared=True))
    assert len(both.train) == len(both.val) == 8
    assert both.fingerprint != data.fingerprint
    write_pictures(tmp_path / "pictures", 2)
    other = coco(2)
    other["categories"][1]["name"] = "hat"
    path = write_json(tmp_path / "other.json", other)
    with pytest.raises(DataError, match="has other classes than"):
        InstanceData(tiny_training(street, val=str(path), val_pictures=str(tmp_path / "pictures")))


def test_data_that_cannot_be_used(street, tmp_path):
    pictures = str(write_pictures(tmp_path / "pictures", 3))
    path = write_json(tmp_path / "coco.json", coco(3))
    with pytest.raises(
        DataError, match="annotations without pictures; give their folder or zip with --pictures"
    ):
        InstanceData(tiny_training(path))
    with pytest.raises(ConfigError, match="leave out --pictures"):
        InstanceData(tiny_training(street, pictures=pictures))
    none = write_json(tmp_path / "none.json", coco(3, lambda i: []))
    with pytest.raises(DataError, match="none of the 2 pictures to learn from has an instance"):
        InstanceData(tiny_training(none, pictures=pictures))
    few = write_json(tmp_path / "few.json", coco(8, lambda i: rectangles(i) if i in (4, 5) else []))
    write_pictures(tmp_path / "pictures", 8)
    seeds = range(20)
    held_out = next(
        seed
        for seed in seeds
        if not {4, 5} & set(InstanceData(tiny_training(street, val_share=0.1, seed=seed)).val.tolist())
    )
    with pytest.raises(DataError, match="none of the 1 pictures held out has an instance"):
        InstanceData(tiny_training(few, pictures=pictures, val_share=0.1, seed=held_out))
    with pytest.raises(DataError, match="1 picture"):
        InstanceData(tiny_training(write_json(tmp_path / "one.json", coco(1)), pictures=pictures))
    (tmp_path / "pictures" / "1.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"1\.png"):
        InstanceData(tiny_training(path, pictures=pictures))
    assert len(InstanceData(tiny_training(path, pictures=pictures, skip_bad=True)).learned) == 2


def test_a_truth_scales():
    mask = np.zeros((10, 20), bool)
    mask[2:6, 4:12] = True
    speck = np.zeros((10, 20), bool)
    speck[0, 0] = True
    truth = Truth((10, 20), (1, 2), (Rle.encode(mask), Rle.encode(speck)), (False, False))
    half = truth.scaled((5, 10))
    assert half.labels == (1,)
    assert box(half.stacked()[0]) == (2, 1, 4, 2)


def test_changes_move_pictures_and_masks_together(street):
    """Rectangles of one colour stay where that colour is, whatever the geometry; what leaves the picture is gone."""
    config = tiny_training(street)
    geometry = replace(config.augment, color=0, blur=0, low_resolution=0, noise=0, cutout=0, shift=0.3)
    data = InstanceData(replace(config, augment=geometry))
    config = replace(config, augment=geometry, model=replace(config.model, classes=3))
    trainer = InstanceTrainer(config, data.labels, torch.device("cpu"))
    seen = lost = 0
    for step in range(12):
        trainer.steps = step
        for row, sample in enumerate(data.read(data.train[:2])):
            image, targets = trainer.change(sample, row)
            again, _ = trainer.change(sample, row)
            assert torch.equal(image, again)
            lost += len(sample.labels) - len(targets.labels)
            for box_, label, mask in zip(targets.boxes, targets.labels, targets.masks):
                left, top, right, bottom = box_.int().tolist()
                assert mask[top:bottom, left:right].sum() == mask.sum()
                assert (right - left) * (bottom - top) > 0
                inside = image[:, mask.bool()]
                channel = 0 if label == 1 else 2
                right_color = (inside[channel] > inside[2 - channel]).float().mean()
                assert right_color > 0.8
                seen += 1
    assert seen > 12
    assert lost > 0
