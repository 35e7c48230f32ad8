import shutil
import zipfile

import numpy as np
import pytest

from shoegen.cagan.data import CaganData, PairSet
from shoegen.data.images import read_image, write_image
from shoegen.errors import ConfigError, DataError
from shoegen.torch_utils.distributed import World

from .tiny import COUNT, article, tiny_config, worn, write_pairs


@pytest.fixture
def copied(pairs, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(pairs, tmp_path / "pairs")


def zipped(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def names(pairs):
    return [(pair.photo, pair.article, pair.other, pair.truth) for pair in pairs.pairs]


def take(data, steps, rows=None, shown=0):
    config = data._config
    with data.batches(list(range(config.batch)) if rows is None else rows, shown) as batches:
        return [next(batches) for _ in range(steps)]


def test_a_folder_a_zip_and_a_csv_are_alike(pairs, tmp_path):
    sources = [
        pairs, pairs / "pairs.csv", zipped(pairs, tmp_path / "a.zip"), zipped(pairs, tmp_path / "b.zip", "all/worn/")
    ]  # fmt: skip
    found = [PairSet(source, (32, 32)) for source in sources]
    assert names(found[0])[0] == ("photos/00.png", "articles/00.png", "articles/01.png", "truth/00.png")
    assert len(found[0].pairs) == COUNT
    for each in found:
        assert names(each) == names(found[0])
        assert each.fingerprint == found[0].fingerprint
        assert np.array_equal(each["photos/03.png"].transpose(1, 2, 0), worn(3, 3))
    assert PairSet(pairs, (64, 64)).fingerprint != found[0].fingerprint
    assert PairSet(pairs, (64, 64))["photos/03.png"].shape == (3, 64, 64)


def test_a_csv_names_files_anywhere(tmp_path):
    write_image(tmp_path / "here" / "p.jpg", worn(0, 0))
    write_image(tmp_path / "there" / "a.png", article(0))
    (tmp_path / "here" / "list.csv").write_text(
        f"﻿Article, photo,price\r\n../there/a.png,p.jpg,3\r\n{tmp_path}/there/a.png,p.jpg,\r\n,,\r\n",
        encoding="utf-8",
    )
    pairs = PairSet(tmp_path / "here" / "list.csv", (32, 32))
    assert [pair.photo for pair in pairs.pairs] == ["p.jpg"] * 2
    assert pairs.pairs[0].other is None
    assert len(pairs.articles(range(2))) == 1  # by content, not by name


def test_pictures_of_one_name_are_pairs(pairs, tmp_path):
    for part in ("photos", "articles"):
        shutil.copytree(pairs / part, tmp_path / part)
    (tmp_path / "articles" / "03.png").rename(tmp_path / "articles" / "new.png")
    with pytest.raises(
        DataError, match=r"photos/03.png has no article; articles/new.png has no photo; .*--skip-bad"
    ):
        PairSet(tmp_path, (32, 32))
    kept = PairSet(tmp_path, (32, 32), skip_bad=True)
    assert len(kept.pairs) == COUNT - 1
    assert "photos/03.png has no article" in kept.notes[0]


def test_deepfashion_in_shop(tmp_path):
    base = tmp_path / "img" / "WOMEN" / "Skirts" / "id_00000001"
    poses = ["01_1_front", "01_2_side", "01_4_full", "02_1_front"]
    for i, name in enumerate(poses):
        write_image(base / f"{name}.jpg", worn(i // 3, i))
    for colour in ("01", "02"):
        write_image(base / f"{colour}_9_flat.jpg", article(int(colour)))
    other = tmp_path / "img" / "MEN" / "Skirts" / "id_00000001"
    write_image(other / "01_1_front.jpg", worn(5, 5))
    write_image(other / "01_6_flat.jpg", article(5))
    found = {pair.photo.rpartition("/")[2]: pair.article for pair in PairSet(tmp_path, (32, 32)).pairs}
    assert set(found) == {f"{name}.jpg" for name in poses}
    pairs = PairSet(tmp_path, (32, 32))
    assert {(pair.photo, pair.article) for pair in pairs.pairs} == {
        ("img/MEN/Skirts/id_00000001/01_1_front.jpg", "img/MEN/Skirts/id_00000001/01_6_flat.jpg"),
        *(
            (
                f"img/WOMEN/Skirts/id_00000001/{name}.jpg",
                f"img/WOMEN/Skirts/id_00000001/{name[:2]}_9_flat.jpg",
            )
            for name in poses
        ),
    }
    (base / "02_9_flat.jpg").unlink()
    with pytest.raises(DataError, match=r"02_1_front.jpg has no article"):
        PairSet(tmp_path, (32, 32))


def spoil(folder, old, new):
    path = folder / "pairs.csv"
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("photo,", "picture,", "has the columns picture, article, other, truth; expected photo, article"),
        ("photos/02.png,articles/02.png", "photos/02.png,", r"line 4 \(photos/02.png\) has no article"),
        ("photos/02.png,articles/02.png", ",articles/02.png", r"line 4 \(articles/02.png\) has no photo"),
        (",articles/03.png,truth/02.png", ",,truth/02.png", "has no other article for its truth"),
        (
            ",articles/03.png,truth",
            ",articles/02.png,truth",
            "photos/02.png: the other article .* is the one worn",
        ),
        ("photos/02.png", "photos/none.png", "photos/none.png: the file does not exist; mend them, or"),
    ],
)
def test_a_list_that_cannot_be_used(old, new, message, copied):
    spoil(copied, old, new)
    for source in (copied, copied / "pairs.csv"):
        with pytest.raises(DataError, match=message):
            PairSet(source, (32, 32))


def test_pictures_that_cannot_be_used(copied, tmp_path):
    (copied / "photos" / "01.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"photos/01.png: .*; mend them, or leave them out with --skip-bad"):
        PairSet(copied, (32, 32))
    assert len(PairSet(copied, (32, 32), skip_bad=True).pairs) == COUNT - 1
    write_image(copied / "photos" / "01.png", worn(1, 1, (32, 48)))
    with pytest.raises(
        DataError, match=r"photos/01.png is 48x32 and articles/01.png 32x32, of another aspect"
    ):
        PairSet(copied, (32, 32))
    wide = write_pairs(tmp_path / "wide", 3, size=(60, 80))
    with pytest.raises(DataError, match=r"is 80x60, not of the aspect of 64x64: choose --resolution 64x48"):
        PairSet(wide, (64, 64))
    with pytest.raises(DataError, match=r"not of the aspect of 64x64: cut them to 64x64"):
        PairSet(write_pairs(tmp_path / "odd", 3, size=(60, 110)), (64, 64))
    assert PairSet(wide, (48, 64))["photos/00.png"].shape == (3, 48, 64)


def test_no_pairs(tmp_path):
    with pytest.raises(DataError, match=r"does not exist"):
        PairSet(tmp_path / "none", (32, 32))
    with pytest.raises(DataError, match=r"check the path"):
        PairSet(tmp_path / "none.csv", (32, 32))
    write_image(tmp_path / "a.png", article(0))
    with pytest.raises(DataError, match=r"has no pairs among its 1 pictures; expected a pairs.csv"):
        PairSet(tmp_path, (32, 32))
    (tmp_path / "pairs.csv").write_text("photo,article\n")
    with pytest.raises(DataError, match=r"has no pairs; expected a row for each pair"):
        PairSet(tmp_path, (32, 32))
    (tmp_path / "pairs.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"no CSV file in UTF-8"):
        PairSet(tmp_path, (32, 32))
    (tmp_path / "photos").mkdir()
    shutil.move(tmp_path / "a.png", tmp_path / "photos" / "a.png")
    (tmp_path / "pairs.csv").unlink()
    with pytest.raises(DataError, match=r"has no pairs: photos/a.png has no article"):
        PairSet(tmp_path, (32, 32))


def test_too_few_articles(tmp_path):
    single = write_pairs(tmp_path / "single", 3, truth=False)
    for i in range(3):
        write_image(single / "articles" / f"{i:02d}.png", article(0))
    with pytest.raises(DataError, match=r"a single article"):
        CaganData(tiny_config(single))
    two = write_pairs(tmp_path / "two", 2)
    with pytest.raises(DataError, match=r"2 articles: the training needs two and the validation one more"):
        CaganData(tiny_config(two))
    data = CaganData(tiny_config(two, val=str(two)))
    assert len(data.train) == 2
    assert "2 articles of --val" in data.notes[0]
    with pytest.raises(DataError, match=r"--val .* has a single article"):
        CaganData(tiny_config(two, val=str(single)))


def test_the_other_article_is_another_one_and_follows_from_seed_step_and_row(pairs):
    data = CaganData(tiny_config(pairs, batch=4))
    drawn = take(data, 12)
    for batch in drawn:
        assert batch.photo.shape == batch.worn.shape == batch.other.shape == (4, 3, 32, 32)
        assert batch.truth is None
        assert all(not np.array_equal(one, two) for one, two in zip(batch.worn, batch.other))
    later = take(data, 2, rows=[1, 3], shown=40)
    for whole, part in zip(drawn[10:], later):
        assert np.array_equal(whole.photo[[1, 3]], part.photo)
        assert np.array_equal(whole.other[[1, 3]], part.other)
    others = {batch.other[i].tobytes() for batch in drawn for i in range(4)}
    assert len(others) == len(data.pairs.articles(data.train))  # each comes up
    again = take(CaganData(tiny_config(pairs, batch=4, seed=1)), 1)[0]
    assert not np.array_equal(again.photo, drawn[0].photo)


def test_the_truth_is_of_the_article_that_is_shown(pairs):
    data = CaganData(tiny_config(pairs, truth=1.0))
    (batch,) = take(data, 1)
    assert batch.known.tolist() == [1, 1, 1, 1]
    for photo, other, truth in zip(batch.photo, batch.other, batch.truth):
        assert np.array_equal(truth[:, 20, 16], other[:, 16, 16])  # the other article's colour
        assert np.array_equal(truth[:, 0, 0], photo[:, 0, 0])  # before the photo's background


def test_where_there_is_no_truth_another_article_is_drawn(copied):
    spoil(copied, ",articles/03.png,truth/02.png", ",,")
    data = CaganData(tiny_config(copied, truth=1.0, val=str(copied)))
    batches = take(data, 5)
    assert sum(batch.known.sum() for batch in batches) == 20 - 2
    unknown = next(batch for batch in batches if batch.known.min() == 0)
    assert not unknown.truth[unknown.known == 0].any()
    plain = write_pairs(copied.parent / "plain", 4, truth=False)
    with pytest.raises(ConfigError, match=r"--truth-weight: got 1, but .* no true pictures"):
        CaganData(tiny_config(plain, truth=1.0))


def test_articles_that_are_held_out_are_not_learned_from(copied):
    rows = [
        f"photos/{i:02d}.png,articles/{i // 2:02d}.png" for i in range(COUNT)
    ]  # two photos of each article
    (copied / "pairs.csv").write_text("\n".join(["photo,article", *rows]))
    data = CaganData(tiny_config(copied, val_share=0.4))
    assert sorted([*data.train, *data.val]) == list(range(COUNT))
    assert len(data.val) == 4
    assert not set(data.pairs.articles(data.train)) & set(data.pairs.articles(data.val))
    held_out = {data.held_out[name].tobytes() for name in data.held_out.articles(data.val).values()}
    for batch in take(data, 6):
        assert not held_out & {each.tobytes() for each in [*batch.worn, *batch.other]}
    first, second = data.samples(data.val), data.samples(data.val)
    assert np.array_equal(first.other, second.other)
    assert all(not np.array_equal(one, two) for one, two in zip(first.worn, first.other))


def test_processes_share_the_validation(pairs):
    config = tiny_config(pairs, val_share=0.5)
    shares = [
        [
            photo
            for batch in CaganData(config, World(rank=rank, size=2)).validation(2, 100)
            for photo in batch.photo
        ]
        for rank in range(2)
    ]
    whole = [photo for batch in CaganData(config).validation(3, 100) for photo in batch.photo]
    assert len(whole) == 5
    assert sorted(each.tobytes() for share in shares for each in share) == sorted(
        each.tobytes() for each in whole
    )


def test_pictures_beyond_the_cache_are_read_again(pairs):
    kept, read = PairSet(pairs, (32, 32)), PairSet(pairs, (32, 32), cache_bytes=5000)
    assert len(read._cache) == 1
    for name in ("photos/00.png", "articles/07.png", "truth/09.png"):
        assert np.array_equal(kept[name], read[name])
        assert np.array_equal(kept[name].transpose(1, 2, 0), read_image(pairs / name))
