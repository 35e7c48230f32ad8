"""One set of photographs, annotated in four formats."""

from pathlib import Path

import numpy as np
import pytest

from shoegen.data.annotations import read_annotations

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real annotations are not at ../shared/data")
SHOES = ["boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "wedges"]


@pytest.fixture(scope="module")
def read():
    return {
        name: read_annotations(DATA / name, images=DATA / "ccp.zip")
        for name in ("ccp_shoes_via.json", "ccp_shoes_coco.json", "ccp_imaterialist.csv", "ccp.zip")
    }


def test_all_is_read(read):
    counts = {name: (len(each.images), sum(each.count_instances().values())) for name, each in read.items()}
    assert counts == {
        "ccp_shoes_via.json": (250, 433),
        "ccp_shoes_coco.json": (691, 1219),
        "ccp_imaterialist.csv": (703, 5112),  # one picture has nothing on it
        "ccp.zip": (704, 0),
    }
    assert not any(finding.severity == "error" for each in read.values() for finding in each.findings)


def test_polygons_agree(read):
    via = {image.name: image for image in read["ccp_shoes_via.json"].images}
    compared = 0
    for image in read["ccp_shoes_coco.json"].images:
        if image.name in via:
            pairs = zip(image.instances, via[image.name].instances, strict=True)
            assert all(one.rle(image.size) == other.rle(image.size) for one, other in pairs)
            compared += 1
    assert compared == 250


def test_run_lengths_are_the_part_maps(read):
    part_maps = {image.name: image for image in read["ccp.zip"].images}
    for image in read["ccp_imaterialist.csv"].images[::20]:
        np.testing.assert_array_equal(
            image.part_map(read["ccp_imaterialist.csv"].labels),
            part_maps[image.name].part_map(read["ccp.zip"].labels),
        )


def test_polygons_follow_the_part_maps(read):
    """To within their own coarseness: their points were thinned out before they were stored."""
    part_maps = {image.name: image for image in read["ccp.zip"].images}
    labels = read["ccp.zip"].labels
    coco = read["ccp_shoes_coco.json"]
    ious = []
    for image in coco.images[::20]:
        drawn = image.part_map(coco.labels) > 0
        stored = np.isin(part_maps[image.name].part_map(labels), [labels.index(name) for name in SHOES])
        ious.append((drawn & stored).sum() / (drawn | stored).sum())
    assert np.median(ious) > 0.98
    assert min(ious) > 0.8
