import csv
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from shoegen.cli import main
from shoegen.data.images import read_image, read_part_map, write_image, write_part_map
from shoegen.data.labels import IGNORED, SHOE_PARTS, LabelMap
from shoegen.data.synthetic import make_dataset
from shoegen.segmentation.comparison import (
    Candidate,
    CommonClasses,
    LabelledPictures,
    Source,
    check_run,
    compare,
    train_or_take,
    trained_on,
    write_report,
)
from shoegen.segmentation.comparison.drawing import _region, draw_sheet
from shoegen.segmentation.comparison.evaluation import picture_score
from shoegen.segmentation.config import AUGMENTATIONS, SegmenterConfig, TrainingConfig
from shoegen.segmentation.instances.config import InstanceTrainingConfig, MaskRCNNConfig
from shoegen.segmentation.instances.engines import build_instance_net
from shoegen.segmentation.instances.parts import InstanceSegmenter
from shoegen.segmentation.metrics import ConfusionMatrix
from shoegen.segmentation.models import build_segmenter
from shoegen.segmentation.parts import MODEL_FILE, PartSegmenter

TINY = {"resolution": 32, "decoder_channels": (16, 8, 8)}
TWO = LabelMap.from_names(["background", "shoe"])


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    return result.output


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.cells, self.sources, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.cells.append(data.strip())


def save_random(path, labels, seed=0):
    """An untrained segmenter of these classes."""
    torch.manual_seed(seed)
    config = SegmenterConfig(classes=len(labels), **TINY)
    PartSegmenter(build_segmenter(config), config, labels).save(path)
    return path


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """8 shoes that no run has seen."""
    path = tmp_path_factory.mktemp("others") / "test.zip"
    make_dataset(path, count=8, resolution=32, seed=5)
    return path


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory):
    """An untrained segmenter that has the shoe's parts in another order."""
    order = [0, 3, 1, 2, 6, 5, 4]
    labels = LabelMap(tuple(SHOE_PARTS.names[i] for i in order), tuple(SHOE_PARTS.colors[i] for i in order))
    return save_random(tmp_path_factory.mktemp("model") / "shuffled.safetensors", labels)


class Brightness(nn.Module):
    """A network that takes for a shoe what is brighter than `level` in [−1, 1]."""

    def __init__(self, level):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(float(level)))

    def forward(self, images):
        shoe = (images.mean(1, keepdim=True) - self.level) * 100
        return torch.cat([-shoe, shoe], 1)


def brightness(name, level, labels=TWO, side=32):
    config = SegmenterConfig(classes=2, resolution=side)
    return Candidate(name, name, PartSegmenter(Brightness(level), config, labels))


def write_pictures(folder, pairs, names=("background", "shoe")):
    """A data set of (grey values, part map) pairs."""
    labels = LabelMap.from_names(names)
    for i, (grey, part_map) in enumerate(pairs):
        write_image(folder / "images" / f"{i}.png", np.stack([grey] * 3, 2).astype(np.uint8))
        write_part_map(folder / "masks" / f"{i}.png", part_map.astype(np.uint8), labels)
    (folder / "labels.json").write_text(json.dumps(list(names)))
    return folder


@pytest.fixture
def two_pictures(tmp_path):
    """The first has a shoe of 32 x 10 pixels, 8 columns of it grey; the second, wider, one of 24 x 20, all white."""
    first, second = np.zeros((32, 32)), np.zeros((24, 32))
    shoes = [np.zeros_like(first), np.zeros_like(second)]
    first[:, 20:] = 255
    first[:, 22:] = 128
    shoes[0][:, 22:] = 1
    second[:, :20] = 255
    shoes[1][:, :20] = 1
    return write_pictures(tmp_path / "data", [(first, shoes[0]), (second, shoes[1])])


def test_figures_are_those_counted_by_hand(two_pictures):
    data = LabelledPictures(two_pictures)
    # Above 0.5 only white is a shoe: of the first picture the two columns before it, of the second all.
    found = compare(data, [brightness("strict", 0.5), brightness("lax", -0.5)], worst=1, typical=1)
    lax, strict = found.models  # the better first
    assert (lax.name, strict.name) == ("lax", "strict")
    background, shoe = 32 * 22 + 24 * 12, 32 * 10 + 24 * 20
    assert strict.confusion.counts.tolist() == [[background - 64, 64], [320, 480]]
    assert lax.confusion.counts.tolist() == [[background - 64, 64], [0, shoe]]
    assert strict.confusion.iou[1] == pytest.approx(480 / (480 + 320 + 64))
    assert strict.scores.tolist() == [0, 1]
    assert lax.scores.tolist() == pytest.approx([320 / 384, 1])
    assert found.worst_first == [0, 1]
    assert [(each.name, each.kind) for each in found.examples] == [
        ("images/0.png", "worst"), ("images/1.png", "typical"),
    ]  # fmt: skip
    assert found.examples[0].scores == pytest.approx([320 / 384, 0])
    assert found.examples[0].predicted[1].sum() == 64
    assert (strict.parameters, strict.resolution, strict.architecture) == (1, (32, 32), "unet")
    assert 0 < lax.network_ms <= lax.ms
    assert "torch" in found.machine


def test_part_maps_are_compared_in_the_pictures_own_size(tmp_path):
    """At the network's resolution, a quarter, no pixel of this picture would be wrong."""
    grey = np.zeros((128, 128))
    grey[:, 61:] = 255
    data = LabelledPictures(write_pictures(tmp_path, [(grey, grey > 0)]))
    (found,) = compare(data, [brightness("a", 0)]).models
    assert found.confusion.counts.sum() == 128 * 128
    assert found.confusion.counts[0, 1] + found.confusion.counts[1, 0] == 128


def test_unlabelled_pixels_count_for_nothing(tmp_path):
    first, second = np.zeros((32, 32)), np.zeros((32, 32))
    first[:, 16:] = 255
    shoe = first > 0
    unsure = np.where(np.arange(32) < 8, IGNORED, shoe)  # a quarter of the first, and all of the second
    folder = write_pictures(tmp_path / "data", [(first, shoe), (second, shoe)])
    for i, part_map in enumerate([unsure, np.full((32, 32), IGNORED)]):
        Image.fromarray(part_map.astype(np.uint8)).save(folder / "masks" / f"{i}.png")
    found = compare(LabelledPictures(folder), [brightness("a", 0)], worst=2, typical=0)
    assert found.models[0].confusion.counts.tolist() == [[32 * 8, 0], [0, 32 * 16]]
    assert found.models[0].scores.tolist() == [1, 1]
    # What is shown: the examples' legend names it, and what is zoomed in on is the shoe.
    assert write_report(found, tmp_path / "report").is_file()
    with_it, without = draw_sheet(found), draw_sheet(replace_true(found))
    assert (with_it[:26] != without[:26]).any()
    assert _region([unsure.astype(np.uint8)], 1) == _region([shoe.astype(np.uint8)], 1)


def replace_true(found):
    examples = [replace(each, true=np.where(each.true == IGNORED, 0, each.true)) for each in found.examples]
    return replace(found, examples=examples)


def test_a_picture_without_shoes_scores_one_unless_there_is_something_found():
    empty = ConfusionMatrix(2)
    empty.update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert picture_score(empty) == 1
    empty.update(np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    assert picture_score(empty) == 0


def test_the_report_holds_each_model_and_its_figures(tiny_run, shuffled, others, tmp_path):
    out = tmp_path / "report"
    text = run(
        "compare-segmenters", shuffled, tiny_run, "--data", others, "--out", out, "--worst", 2, "--typical", 1
    )
    assert f"report: {out / 'report.html'}" in text
    assert {path.name for path in out.iterdir()} == {
        "report.html", "figures.csv", "models.csv", "pictures.csv", "sheet.png", "iou.png", "confusion-run.png",
        "confusion-shuffled.png",
    }  # fmt: skip

    # What the segment command makes of these pictures, counted one pixel after the other.
    data = LabelledPictures(others)
    names = SHOE_PARTS.names
    for model, name in ((tiny_run, "run"), (shuffled, "shuffled")):
        segmenter = PartSegmenter.load(model)
        counts = dict.fromkeys(((true, predicted) for true in names for predicted in names), 0)
        for i in range(len(data)):
            image, true = data[i]
            for a, b in zip(true.ravel(), segmenter.segment(image).ravel()):
                counts[SHOE_PARTS.names[a], segmenter.labels.names[b]] += 1
        own = {row["class"]: row for row in rows_of(out / "figures.csv") if row["model"] == name}
        assert list(own) == [*names, "(mean)"]
        ious = []
        for each in names:
            hits = counts[each, each]
            true = sum(counts[each, other] for other in names)
            predicted = sum(counts[other, each] for other in names)
            assert (int(own[each]["true_pixels"]), int(own[each]["predicted_pixels"])) == (true, predicted)
            if true + predicted:
                ious.append(hits / (true + predicted - hits))
                assert float(own[each]["iou"]) == pytest.approx(ious[-1])
                assert float(own[each]["dice"]) == pytest.approx(2 * hits / (true + predicted))
        assert float(own["(mean)"]["iou"]) == pytest.approx(np.mean(ious))
        accuracy = sum(counts[each, each] for each in names) / sum(counts.values())
        assert float(own["(mean)"]["pixel_accuracy"]) == pytest.approx(accuracy)

    models = rows_of(out / "models.csv")
    assert [float(row["mean_iou"]) for row in models] == sorted(
        (float(row["mean_iou"]) for row in models), reverse=True
    )
    table = text[text.index("mean") :]
    assert table.index(models[0]["model"]) < table.index(models[1]["model"])
    assert all(float(row["ms_per_image"]) > 0 and int(row["file_bytes"]) > 1000 for row in models)
    pictures = rows_of(out / "pictures.csv")
    means = [float(row["mean"]) for row in pictures]
    assert len(means) == 8
    assert means == sorted(means)

    page = Page((out / "report.html").read_text())
    assert {"run", "shuffled"} <= set(page.cells)
    assert f"{float(models[0]['mean_iou']):.3f}" in page.cells
    assert str(tiny_run) in page.cells
    assert len(page.sources) == 4  # the sheet, the bars, two matrices
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not page.tags & {"script", "link", "iframe"}
    assert any("What " in cell and str(shuffled) in cell for cell in page.cells)
    sheet = read_image(out / "sheet.png")
    assert sheet.shape[0] > 3 * sheet.shape[1] / 4 * 0.9


def test_names_of_models_are_told_apart(tiny_run, others, tmp_path):
    out = tmp_path / "report"
    run(
        "compare-segmenters",
        tiny_run,
        tiny_run / MODEL_FILE,
        "default",
        "--data",
        others,
        "--subset",
        2,
        "--out",
        out,
    )
    rows = rows_of(out / "models.csv")
    assert {row["model"] for row in rows} == {"run", "run-2", "default"}
    assert len(rows_of(out / "pictures.csv")) == 2
    assert {row["mean_iou"] for row in rows if row["model"] != "default"} == {
        row["mean_iou"] for row in rows if row["model"] == "run"
    }


def test_classes_bring_models_of_many_and_few_together(tiny_run, others, tmp_path):
    binary = save_random(tmp_path / "binary.safetensors", LabelMap.from_names(["null", "shoe"]))
    out = tmp_path / "report"
    options = ("compare-segmenters", tiny_run, binary, "--data", others, "--out", out)
    line = run(*options, expect=1).splitlines()[-1]
    assert "has other classes than the data: it lacks sole, heel, upper, and 3 more and it has shoe" in line
    assert not out.exists()
    parts = ",".join(f"{name}=shoe" for name in SHOE_PARTS.names[1:])
    run(*options, "--classes", parts)
    assert {row["class"] for row in rows_of(out / "figures.csv")} == {"background", "shoe", "(mean)"}

    true = next(row for row in rows_of(out / "figures.csv") if row["class"] == "shoe")["true_pixels"]
    data = LabelledPictures(others)
    assert int(true) == sum((data[i][1] > 0).sum() for i in range(len(data)))


def test_a_mask_rcnn_is_compared_like_any_other(two_pictures, tmp_path):
    torch.manual_seed(0)
    config = MaskRCNNConfig(classes=2, resolution=64, width=1 / 8, blocks=(1, 1, 1, 1), norm="group")
    InstanceSegmenter(build_instance_net(config), config, TWO).save(tmp_path / "mask.safetensors")
    other = save_random(tmp_path / "unet.safetensors", TWO)
    out = tmp_path / "report"
    text = run(
        "compare-segmenters", tmp_path / "mask.safetensors", other, "--data", two_pictures, "--out", out
    )
    (row,) = [row for row in rows_of(out / "models.csv") if row["model"] == "mask"]
    assert (row["architecture"], row["width"]) == ("maskrcnn (torchvision)", "64")
    assert float(row["ms_per_image"]) > 0
    assert "mask" in text
    segmenter = InstanceSegmenter.load(tmp_path / "mask.safetensors")
    found = [segmenter.segment(read_image(two_pictures / "images" / f"{i}.png")) for i in range(2)]
    (shoe,) = [
        row for row in rows_of(out / "figures.csv") if (row["model"], row["class"]) == ("mask", "shoe")
    ]
    assert int(shoe["predicted_pixels"]) == sum(int((each == 1).sum()) for each in found)


def test_what_a_model_was_trained_on(tmp_path, monkeypatch):
    assert trained_on(tmp_path) == ([], [str(tmp_path)])
    (tmp_path / "config.json").write_text('{"data": "a.json", "val": "b.json", "pictures": "photos"}')
    (tmp_path / MODEL_FILE).touch()
    named = [("data", Source("a.json", "photos"), ""), ("val", Source("b.json", "photos"), "")]
    assert trained_on(tmp_path) == trained_on(tmp_path / MODEL_FILE) == (named, [])
    monkeypatch.chdir(tmp_path)
    assert trained_on("default") == ([], [])


def write_run(folder, **values):
    folder.mkdir()
    (folder / MODEL_FILE).touch()
    (folder / "config.json").write_text(json.dumps(values))
    return str(folder)


def test_what_a_model_builds_on_counts_as_trained_on(tmp_path):
    gone = str(tmp_path / "gone")
    ring = {"data": "ring.zip", "init_from": str(tmp_path / "b" / MODEL_FILE)}
    a = write_run(tmp_path / "a", **ring, after="default")
    b = write_run(tmp_path / "b", data="b.zip", init_from=a, after=gone)
    write_run(tmp_path / "c", data="c.zip", val="v.zip", init_from=f"{b}/{MODEL_FILE}", after=b)
    assert trained_on(tmp_path / "c") == (
        [
            ("data", Source("c.zip"), ""),
            ("val", Source("v.zip"), ""),
            ("data", Source("b.zip"), f"{b}/{MODEL_FILE}"),
            ("data", Source("ring.zip"), a),
        ],
        [gone],
    )


def test_pictures_that_an_earlier_model_was_trained_on_are_refused(tiny_run, shoes, others, tmp_path):
    second, out = tmp_path / "second", tmp_path / "report"
    write_run(second, data=str(others), init_from=str(tiny_run))
    save_random(second / MODEL_FILE, SHOE_PARTS)
    options = ("compare-segmenters", second, "--data", shoes, "--subset", 2, "--out", out)
    line = run(*options, expect=1).splitlines()[-1]
    assert f"{second}, by way of {tiny_run}, was trained on 2 of the 2 pictures" in line
    (second / "config.json").write_text(json.dumps({"data": str(others), "init_from": "runs/gone"}))
    run(*options)
    page = (out / "report.html").read_text()
    assert f"What runs/gone, which {second} goes back to, was trained on is not known" in page


def test_the_second_network_of_a_cascade_is_refused(others, tmp_path):
    config = SegmenterConfig(classes=len(SHOE_PARTS), focused=True, **TINY)
    path = tmp_path / "second.safetensors"
    PartSegmenter(build_segmenter(config), config, SHOE_PARTS).save(path)
    out = tmp_path / "report"
    line = run("compare-segmenters", path, "--data", others, "--out", out, expect=1).splitlines()[-1]
    assert f"{path} is the second network of a cascade" in line
    assert not out.exists()


def test_common_classes():
    data = LabelMap.from_names(["null", "boots", "shoes", "hat"])
    same = CommonClasses(data).table(LabelMap.from_names(["background", "hat", "shoes", "boots"]), "it")
    assert same[:4].tolist() == [0, 3, 2, 1]
    shoe = CommonClasses(data, {"boots": "shoe", "shoes": "shoe"})
    assert shoe.labels.names == ("background", "shoe")
    assert shoe.table(data, "it")[:4].tolist() == [0, 1, 1, 0]
    assert shoe.table(TWO, "it")[:2].tolist() == [0, 1]
    assert shoe.table(data, "it")[IGNORED] == CommonClasses(data).table(data, "it")[IGNORED] == IGNORED
    many = LabelMap.from_names(["background", *map(str, range(255))])
    with pytest.raises(ValueError, match="the few has nothing that --classes makes 254"):
        CommonClasses(many, {name: name for name in many.names[1:]}).table(
            LabelMap.from_names(many.names[:-1]), "the few"
        )
    with pytest.raises(ValueError, match="the hats has nothing that --classes makes shoe"):
        shoe.table(LabelMap.from_names(["background", "hat"]), "the hats")
    with pytest.raises(ValueError, match="leave it out"):
        CommonClasses(data, {"hat": "background"})
    with pytest.raises(ValueError, match="no class 'sock'"):
        CommonClasses(data, {"sock": "shoe"}).check_names([TWO])


def test_pictures_that_a_model_was_trained_on_are_refused(tiny_run, shoes, others, tmp_path):
    out = tmp_path / "report"
    options = ("compare-segmenters", tiny_run, "--data", shoes, "--out", out, "--subset", 2)
    for model in (tiny_run, tiny_run / MODEL_FILE):
        line = run("compare-segmenters", model, *options[2:], expect=1).splitlines()[-1]
        assert f"{model} was trained on 2 of the 2 pictures" in line
        assert "--allow-shared" in line
    assert not out.exists()
    run(*options, "--allow-shared")
    assert "was trained on 2 of these pictures, which flatters it" in (out / "report.html").read_text()
    line = run(
        "compare-segmenters", "--train", "unet", "--train-data", others, "--data", others, "--out", tmp_path / "x",
        expect=1,
    )  # fmt: skip
    assert "--train unet was trained on 8 of the 8 pictures" in line


def test_what_is_trained_is_what_train_segmenter_trains(tiny_run, shoes, others, tmp_path, monkeypatch):
    asked = {}

    def take(config, folder, **_):
        asked[folder.name] = config
        shutil.copytree(tiny_run, folder)
        return True

    monkeypatch.setattr("shoegen.segmentation.comparison.train_or_take", take)
    run(
        "compare-segmenters", "--train", "unet, segnet,maskrcnn", "--train-data", shoes, "--data", others, "--subset",
        1, "--out", tmp_path / "report", "--width", 0.5, "--loss", "focal", "--class-weights", "0.1,1,1,1,1,1,2",
        "--lr", 0.01, "--images", 99, "--flip", 0.25, "--seed", 3,
    )  # fmt: skip
    every = {"data": str(shoes), "learning_rate": 0.01, "images": 99, "seed": 3}
    semantic = {"loss": "focal", "class_weights": (0.1, 1, 1, 1, 1, 1, 2), **every}
    studio, street = (replace(AUGMENTATIONS[name], flip=0.25) for name in ("studio", "street"))
    assert asked == {
        "unet": TrainingConfig(model=SegmenterConfig(), augment=studio, **semantic),
        "segnet": TrainingConfig(
            model=SegmenterConfig(architecture="segnet", width=0.5), augment=studio, **semantic
        ),
        "maskrcnn": InstanceTrainingConfig(model=MaskRCNNConfig(width=0.5), augment=street, **every),
    }


def test_training_first_goes_on_where_it_was_interrupted(tiny_run, shoes, others, tmp_path):
    out = tmp_path / "report"
    settings = {
        "--train": "segnet", "--train-data": shoes, "--images": 8, "--batch": 4, "--resolution": 32, "--val-share": 0.2,
        "--width": 0.0625, "--save-every": 4, "--data": others, "--out": out, "--subset": 2,
    }  # fmt: skip
    options = ["--no-pretrained", *(part for option in settings.items() for part in option)]
    run("compare-segmenters", *options)
    folder = out / "runs" / "segnet"
    assert rows_of(out / "models.csv")[0]["path"] == str(folder)
    assert "holds a report already" in run("compare-segmenters", *options, expect=1)

    # As if it had been interrupted after the first of two steps.
    (out / "report.html").unlink()
    (folder / "checkpoints.json").write_text(
        json.dumps(json.loads((folder / "checkpoints.json").read_text())[:-1])
    )
    text = run("compare-segmenters", tiny_run, *options)
    assert "training 8/8 images" in text
    assert json.loads((folder / "checkpoints.json").read_text())[-1]["images"] == 8
    assert {row["model"] for row in rows_of(out / "models.csv")} == {"run", "segnet"}
    assert not (out / "confusion-unet.png").exists()

    (out / "report.html").unlink()
    text = run("compare-segmenters", *options, "--seed", 1, expect=1)
    assert "holds a run of other settings: its seed is 0, got 1" in text.splitlines()[-1]


def test_a_stopped_training_is_not_compared_and_a_finished_one_taken(shoes, tmp_path, monkeypatch):
    config = TrainingConfig(
        data=str(shoes), model=SegmenterConfig(**TINY), images=8, batch=4, val_share=0.2, save_every=4
    )
    folder = tmp_path / "run"
    with monkeypatch.context() as stopped:
        stopped.setattr("shoegen.torch_utils.training.StopRequest", Stopped)
        assert not train_or_take(config, folder)
    assert train_or_take(config, folder)
    before = (folder / "log.jsonl").stat().st_mtime_ns
    assert train_or_take(config, folder)
    assert (folder / "log.jsonl").stat().st_mtime_ns == before


def test_a_run_of_another_start_or_norm_is_not_taken(shoes, tmp_path):
    config = TrainingConfig(data=str(shoes), model=SegmenterConfig(**TINY), images=8)
    for pretrained in (False, True):
        there = replace(config, model=replace(config.model, pretrained=pretrained))
        write_run(tmp_path / str(pretrained), kind="segmenter", **there.to_dict())
    check_run(config, tmp_path / "False", pretrained=False)
    check_run(config, tmp_path / "True", pretrained=None)
    with pytest.raises(ValueError, match="its pretrained is True, got False"):
        check_run(config, tmp_path / "True", pretrained=False)
    with pytest.raises(ValueError, match="its pretrained is False, got True"):
        check_run(config, tmp_path / "False", pretrained=True)

    instances = InstanceTrainingConfig(data=str(shoes))
    there = replace(instances, model=MaskRCNNConfig(norm="group"))
    write_run(tmp_path / "mask", kind="instances", **there.to_dict())
    check_run(instances, tmp_path / "mask", pretrained=None)
    with pytest.raises(ValueError, match="its norm is group, got batch"):
        check_run(replace(instances, model=MaskRCNNConfig(norm="batch")), tmp_path / "mask")


class Stopped:
    asked = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no models to compare"),
        (("nothing",), "nothing"),
        (("{run}", "--train", "unet"), "--train needs --train-data"),
        (("{run}", "--images", "8"), "got --images, which is of trainings, without --train"),
        (("--train", "unet,vgg", "--train-data", "{shoes}"), "--train: got 'vgg', expected one of unet,"),
        (("--train", "unet,unet", "--train-data", "{shoes}"), "--train: got 'unet,unet'"),
        (("--train", "unet", "--train-data", "nowhere"), "nowhere does not exist"),
        (
            ("--train", "maskrcnn", "--train-data", "{shoes}", "--class-weights", "none"),
            "--class-weights is of semantic segmenters, got it with --train maskrcnn; leave it out",
        ),
        (
            ("--train", "maskrcnn", "--train-data", "{shoes}", "--loss", "ce"),
            "--loss is of semantic segmenters, got it with --train maskrcnn; leave it out",
        ),
        (("--train", "unet", "--train-data", "{shoes}", "--width", "0.5"), "a U-Net has no --width"),
        (("--train", "unet,maskrcnn", "--train-data", "{shoes}", "--loss", "mse"), "--loss: got 'mse'"),
        (("--train", "unet,segnet", "--train-data", "{shoes}", "--width", "-1"), "width is -1.0"),
        (("{run}", "--subset", "9"), "subset: got 9"),
        (("{run}", "--classes", "sole="), "--classes"),
        (("{run}", "--classes", "sock=shoe"), "no class 'sock'"),
        (("{run}", "--out", "/proc/shoegen/report"), "cannot make the folder"),
        (("{run}", "--data", "{run}/samples"), "no labels.json"),
        (("{run}", "--device", "tpu"), "--device"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tiny_run, shoes, others, tmp_path, arguments, message):
    arguments = [each.format(run=tiny_run, shoes=shoes) for each in arguments]
    defaults = {"--data": others, "--out": tmp_path / "report"}
    given = [part for option in defaults.items() if option[0] not in arguments for part in option]
    text = run("compare-segmenters", *arguments, *given, expect=1)
    assert text.splitlines()[-1].startswith("error: ")
    assert message in text.splitlines()[-1]
    assert not (tmp_path / "report").exists()


def test_bad_data_and_folders_are_refused_before_anything_is_written(
    tiny_run, others, tmp_path, two_pictures
):
    out = tmp_path / "report"
    model = ("compare-segmenters", tiny_run, "--out", out)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(two_pictures / "masks" / "1.png")
    line = run(*model, "--data", two_pictures, expect=1).splitlines()[-1]
    assert "1 of 2 pictures" in line
    assert "masks/1.png is 4x3, its picture 32x24" in line
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in run(*model, "--data", tmp_path / "empty", expect=1)
    assert not out.exists()

    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "holds thesis.txt, which is no part of a report" in run(*model, "--data", others, expect=1)
    out = tmp_path / "file"
    out.write_text("mine")
    assert "it is a file" in run("compare-segmenters", tiny_run, "--data", others, "--out", out, expect=1)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_report_is_written_whole_or_not_at_all(two_pictures, tmp_path, monkeypatch, is_there):
    found = compare(LabelledPictures(two_pictures), [brightness("a", 0)])
    out = tmp_path / "report"
    if is_there:
        (out / "runs").mkdir(parents=True)

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", fail)
        with pytest.raises(OSError, match=r"cannot write .*: No space left on device; free space"):
            write_report(found, out)
    assert [path.name for path in tmp_path.glob("*report*")] == ["report"] * is_there
    assert not is_there or [path.name for path in out.iterdir()] == ["runs"]
    assert write_report(found, out).is_file()
    assert not [path for path in (*tmp_path.glob(".*"), *out.glob(".*")) if path.name.endswith(".part")]
    assert read_part_map(two_pictures / "masks" / "0.png", TWO).any()


def test_many_classes_and_odd_names_are_drawn(tmp_path):
    names = ["background", *(f"thing <{i}> größe" for i in range(58))]
    labels = LabelMap.from_names(names)
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 59, (5, 4 + i)).repeat(8, 0).repeat(8, 1) for i in range(3)]
    folder = write_pictures(tmp_path / "data", [(each * 4, each) for each in maps], names)
    path = save_random(tmp_path / "a&b.safetensors", labels)
    out = tmp_path / "report"
    run("compare-segmenters", path, "--data", folder, "--out", out)
    page = Page((out / "report.html").read_text())
    assert {"a&b", names[7]} <= set(page.cells)
    assert not [tag for tag in page.tags if tag.isdigit()]
