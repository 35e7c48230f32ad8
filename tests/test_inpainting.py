"""In-painting with pipelines small enough to build here; what they draw is noise, where they draw it is not."""

import dataclasses
import json
import shutil
import socket
import sys
import warnings

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from shoegen.cli import main
from shoegen.data.images import read_image, write_image
from shoegen.data.labels import LabelMap
from shoegen.data.synthetic import render
from shoegen.errors import ConfigError, DataError, FileFormatError
from shoegen.inpainting import Inpainter, InpaintingConfig, inpaint
from shoegen.segmentation.instances.contract import Detections
from shoegen.segmentation.instances.parts import InstanceSegmenter, draw
from shoegen.segmentation.parts import PartSegmenter
from shoegen.segmentation.shoes import find_masks, separate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("transformers", reason="the extra `diffusion` is not installed")
    diffusers = pytest.importorskip("diffusers", reason="the extra `diffusion` is not installed")

SIDE = 64  # of the pictures


def run(*arguments, expect=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == expect, result.output
    assert "Traceback" not in result.output
    return result.output


def build_pipeline(folder, kind="StableDiffusionInpaintPipeline"):
    """An untrained pipeline with a VAE of 1/8, as the real ones have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

        letters = "abcdefghijklmnopqrstuvwxyz"
        words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
        vocabulary = {word: index for index, word in enumerate(words)}
        tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=24)
        text = CLIPTextConfig(
            vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, max_position_embeddings=24, projection_dim=16, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        is_xl = "XL" in kind
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel(
            sample_size=8, in_channels=9, out_channels=4, block_out_channels=(8, 16), layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=4, norm_num_groups=4,
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=32 if is_xl else 16,
            **(
                {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
                | {"projection_class_embeddings_input_dim": 16 + 6 * 4} if is_xl else {}
            ),
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, latent_channels=4,
            up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=4, sample_size=64,
        )  # fmt: skip
        parts = {
            "vae": vae,
            "unet": unet,
            "scheduler": diffusers.DDIMScheduler(),
            "text_encoder": CLIPTextModel(text),
            "tokenizer": tokenizer,
        }
        if is_xl:
            parts |= {"text_encoder_2": CLIPTextModelWithProjection(text), "tokenizer_2": tokenizer}
        else:
            parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        getattr(diffusers, kind)(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return build_pipeline(tmp_path_factory.mktemp("pipeline") / "tiny")


@pytest.fixture(scope="module")
def inpainter(pipeline):
    return Inpainter.load(pipeline, "cpu")


@pytest.fixture
def photo(tmp_path):
    """A picture of one shoe, wider than it is high."""
    path = tmp_path / "photo.png"
    write_image(path, np.pad(render(0, 3, SIDE).image, [(0, 0), (20, 12), (0, 0)], mode="edge"))
    return path


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def settings(pipeline, **changes):
    options = {
        "--prompt": "red suede loafer",
        "--model": pipeline,
        "--steps": 2,
        "--device": "cpu",
        **changes,
    }
    return [part for option, value in options.items() for part in (option, value)]


def test_a_shoe_is_replaced_and_the_rest_is_the_photograph(pipeline, photo, tmp_path, no_network):
    """The mask comes from the shipped segmenter; the seed decides."""
    before = read_image(photo)
    outputs = []
    for name, seed in ("a", 1), ("again", 1), ("other", 2):
        out = tmp_path / f"{name}.png"
        text = run("inpaint", photo, *settings(pipeline, **{"--seed": seed}), "--out", out)
        assert f"{out}: shoes replaced: 1" in text
        assert len(text.splitlines()) == 1  # nothing of the libraries' own
        outputs.append(read_image(out))
    after, again, other = outputs
    np.testing.assert_array_equal(after, again)
    assert (after != other).any()

    shoe = find_masks(before, segmenter=default_segmenter())[0]
    reach = np.zeros_like(shoe)  # at most 3 pixels more: a fiftieth of the shoe's length
    for y, x in np.argwhere(shoe):
        reach[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4] = True
    assert 0.1 < reach.mean() < 0.9
    np.testing.assert_array_equal(after[~reach], before[~reach])
    assert (after[shoe] != before[shoe]).any(1).mean() > 0.9

    made = json.loads(Image.open(tmp_path / "a.png").text["shoegen"])
    assert (made["prompt"], made["seed"], made["steps"]) == ("red suede loafer", 1, 2)
    assert (made["model"], made["size"], made["shoes"]) == ("tiny", 64, 1)


def default_segmenter():
    return PartSegmenter.load()


def test_a_mask_can_be_given(pipeline, photo, tmp_path):
    before = read_image(photo)
    mask = np.zeros(before.shape[:2], np.uint8)
    mask[10:30, 40:] = 255  # up to the picture's edge
    write_image(tmp_path / "mask.png", mask)
    out = tmp_path / "out.png"
    options = {"--mask": tmp_path / "mask.png", "--grow": 0, "--feather": 0, "--size": 32}
    run("inpaint", photo, *settings(pipeline, **options), "--out", out)
    after = read_image(out)
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    assert (after[mask > 0] != before[mask > 0]).any(1).mean() > 0.9


def test_folders_and_pictures_without_a_shoe(pipeline, photo, tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "new"
    folder.mkdir()
    shutil.copy(photo, folder / "a.png")
    shutil.copy(photo, folder / "b.png")
    write_image(folder / "nothing.png", np.full((SIDE, SIDE, 3), 255, np.uint8))
    text = run("inpaint", folder, *settings(pipeline), "--out", out, expect=1)
    assert "nothing.png: no shoe found: the segmenter saw only background" in text
    assert "--skip-bad" in text
    assert not out.exists()
    text = run("inpaint", folder, *settings(pipeline), "--out", out, "--skip-bad")
    assert "1 of 3 pictures left out" in text
    assert "2 pictures, shoes replaced: 2" in text
    assert {path.name for path in out.iterdir()} == {"a.png", "b.png"}
    text = run("inpaint", folder, *settings(pipeline), "--out", folder, "--skip-bad", expect=1)
    assert "would overwrite the picture" in text


class TwoShoes:
    """A segmenter that finds two shoes and a speck, wherever it looks."""

    labels = LabelMap.from_names(["background", "left", "right"])

    def segment(self, image):
        part_map = np.zeros(image.shape[:2], np.uint8)
        part_map[20:40, 5:30] = 1
        part_map[10:40, 50:70] = 2
        part_map[60, 60] = 2
        return part_map


def test_the_second_network_of_a_cascade_finds_no_shoes(pipeline, photo, tmp_path):
    first = default_segmenter()
    second = PartSegmenter(first.net, dataclasses.replace(first.config, focused=True), first.labels)
    path = tmp_path / "second.safetensors"
    second.save(path)
    options = {"--segmenter": path, "--out": tmp_path / "new.png"}
    text = run("inpaint", photo, *settings(pipeline, **options), expect=1)
    assert f"--segmenter {path} is the second network of a cascade" in text.splitlines()[-1]
    with pytest.raises(ConfigError, match="--segmenter is the second network"):
        inpaint(photo, "boot", model=pipeline, segmenter=second, device="cpu")


def test_a_mask_may_be_a_jpeg(pipeline, photo, tmp_path):
    mask = np.zeros(read_image(photo).shape[:2], np.uint8)
    mask[10:30, 40:60] = 255
    Image.fromarray(mask).save(tmp_path / "mask.jpg", quality=50)
    grey = np.asarray(Image.open(tmp_path / "mask.jpg"))
    assert ((grey > 0) & (mask == 0)).any()
    options = {"--mask": tmp_path / "mask.jpg", "--grow": 0, "--feather": 0}
    run("inpaint", photo, *settings(pipeline, **options), "--out", tmp_path / "out.png")
    after, before = read_image(tmp_path / "out.png"), read_image(photo)
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])


def test_several_shoes_are_counted_left_to_right(inpainter):
    image = np.random.default_rng(0).integers(0, 256, (SIDE, 80, 3), np.uint8)
    left, right = find_masks(image, segmenter=TwoShoes())
    assert (left.sum(), right.sum()) == (20 * 25, 30 * 20)
    np.testing.assert_array_equal(find_masks(image, segmenter=TwoShoes(), instance=2)[0], right)
    (only,) = find_masks(image, segmenter=TwoShoes(), classes=["left"])
    np.testing.assert_array_equal(only, left)
    with pytest.raises(DataError, match="--instance: got 3, but found 2"):
        find_masks(image, segmenter=TwoShoes(), instance=3)
    with pytest.raises(ConfigError, match="--classes: got shoe, the segmenter knows background, left, right"):
        find_masks(image, segmenter=TwoShoes(), classes=["shoe"])
    (both,) = find_masks(image, mask=left | right)
    assert both.sum() == left.sum() + right.sum()

    reports = []
    config = InpaintingConfig(prompt="boot", steps=2, grow=0, feather=0)
    result = inpainter.paint(
        image, [left, right], config, report=lambda done, total: reports.append((done, total))
    )
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    np.testing.assert_array_equal(result.mask, left | right)
    changed = (result.image != image).any(2)
    assert not changed[~result.mask].any()
    assert changed[left].mean() > 0.9
    assert changed[right].mean() > 0.9


def test_instances_of_one_class_are_shoes_even_where_they_touch():
    """Mask R-CNN tells them apart; of several classes, such as parts, what hangs together is one shoe."""
    masks = np.zeros((5, 40, 60), bool)
    masks[0, 10:30, 30:50] = masks[1, 10:30, 10:32] = masks[2, 10:12, 10:50] = masks[3, :, :5] = True
    masks[4, 5:30, 10:50] = True
    found = Detections(
        np.zeros((5, 4), np.float32), np.array([1, 1, 2, 1, 1]), np.array([0.9, 0.8, 0.7, 0.3, 0.2]), masks
    )
    segmenter = InstanceSegmenter.__new__(InstanceSegmenter)
    segmenter.labels = LabelMap.from_names(["background", "shoe", "lace", "bag"])
    segmenter.detect = lambda image, score: found
    segmenter.segment = lambda image: draw(found, masks.shape[1:], 0.5)
    image = np.zeros((40, 60, 3), np.uint8)
    left, right = find_masks(image, segmenter=segmenter, classes=["shoe"])
    assert (left.sum(), right.sum()) == (20 * 20, 20 * 20)
    assert left[20, 10]
    (whole,) = find_masks(image, segmenter=segmenter)
    assert whole.sum() == 20 * 40
    with pytest.raises(
        DataError, match="the segmenter saw only background, shoe, lace, expected some of bag"
    ):
        find_masks(image, segmenter=segmenter, classes=["bag"])


def test_narrow_gaps_do_not_part_a_shoe():
    mask = np.zeros((100, 200), bool)
    mask[40:60, 20:50] = mask[40:60, 53:80] = mask[40:60, 100:180] = True
    assert [each.sum() for each in separate(mask)] == [20 * 57, 20 * 80]


def test_the_feather_fades_inside_the_grown_mask(inpainter):
    image = np.full((SIDE, SIDE, 3), 255, np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[24:40, 24:40] = True
    config = InpaintingConfig(prompt="boot", steps=1, grow=6, feather=6)
    result = inpainter.paint(image, [mask], config)
    row = np.abs(result.image[32].astype(int) - 255).max(1)
    assert not row[:18].any()  # 6 pixels beyond the mask it begins,
    assert row[19] < row[23] < row[28] + 40
    hard = inpainter.paint(image, [mask], InpaintingConfig(prompt="boot", steps=1, grow=6, feather=0))
    np.testing.assert_array_equal(hard.image[mask], result.image[mask])  # and the shoe itself is all new
    assert row[18:24].sum() < np.abs(hard.image[32, 18:24].astype(int) - 255).max(1).sum()


def test_a_notebook_shows_before_mask_and_after(pipeline, photo):
    before = read_image(photo)
    result = inpaint(photo, "red boot", model=pipeline, steps=1, strength=1, device="cpu")
    assert result.sheet.shape == (SIDE, 3 * before.shape[1] + 4, 3)
    assert result._repr_png_().startswith(b"\x89PNG")
    assert "red boot" in repr(result)
    again = inpaint(before, "red boot", model=pipeline, mask=result.mask, steps=1, device="cpu", grow=0)
    assert again.mask.sum() == result.mask.sum()


def test_the_larger_pipeline_works_too(tmp_path, no_network):
    folder = build_pipeline(tmp_path / "xl", "StableDiffusionXLInpaintPipeline")
    image, mask = render(0, 1, SIDE).image, np.zeros((SIDE, SIDE), bool)
    mask[20:50, 10:50] = True
    result = inpaint(image, "boot", model=folder, mask=mask, steps=2, strength=0.5, device="cpu")
    changed = (result.image != image).any(2)
    assert changed[mask].mean() > 0.9
    assert not changed[~result.mask].any()


def test_weights_in_half_precision_alone_are_found(pipeline, tmp_path):
    folder = tmp_path / "half"
    shutil.copytree(pipeline, folder)
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"a pickle beside them is not read")
    assert Inpainter.load(folder, "cpu").size == 64


# ---- what is refused ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--prompt": " "}, "--prompt: it is empty"),
        ({"--prompt": "very " * 20}, "--prompt: it has 82 tokens, tiny reads 24; shorten it"),
        ({"--size": 100}, "--size: got 100, expected a multiple of 8"),
        ({"--steps": 0}, "--steps: got 0, expected a whole number from 1"),
        ({"--strength": 1.5}, "--strength: got 1.5, expected above 0, up to 1"),
        ({"--strength": 0.2}, "--strength 0.2 of --steps 2 leaves no step"),
        ({"--guidance": "nan"}, "--guidance: got nan"),
        ({"--guidance": 1, "--negative-prompt": "x"}, "--negative-prompt is not read at --guidance 1"),
        ({"--seed": -1}, "--seed: got -1"),
        ({"--grow": -1}, "--grow: got -1"),
        ({"--classes": "sole,tongue"}, "--classes: got tongue, the segmenter knows background, sole"),
        ({"--instance": 2}, "--instance: got 2, but found 1"),
        ({"--instance": 0}, "--instance: got 0"),
        ({"--mask": "nothing.png"}, "--mask nothing.png: No such file"),
        ({"--mask": "nothing.png", "--classes": "sole"}, "--classes has no effect with --mask; leave it out"),
        (
            {"--mask": "nothing.png", "--segmenter": "x"},
            "--segmenter has no effect with --mask; leave it out",
        ),
        ({"--segmenter": "nothing"}, "no segmenter at nothing"),
        ({"--model": "nothing"}, "nothing is not there; give the folder of an in-painting pipeline"),
        ({"--device": "tpu"}, "--device: got 'tpu'"),
        ({"--out": "new.jpg"}, "expected the suffix .png"),
    ],
)
def test_one_line_says_what_is_wrong(pipeline, photo, tmp_path, changes, message):
    out = tmp_path / "out" / "new.png"
    text = run("inpaint", photo, *settings(pipeline, **{"--out": out, **changes}), expect=1)
    assert text.splitlines()[-1].startswith("error: ")
    assert message in text.splitlines()[-1]
    assert not out.parent.exists()


def test_masks_that_do_not_fit_are_refused(pipeline, photo, tmp_path):
    write_image(tmp_path / "black.png", np.zeros(read_image(photo).shape[:2], np.uint8))
    write_image(tmp_path / "small.png", np.full((8, 9), 255, np.uint8))
    for name, message in ("black", "--mask is black all over"), ("small", "--mask is 9x8, the picture 96x64"):
        options = {"--mask": tmp_path / f"{name}.png", "--out": tmp_path / "new.png"}
        assert message in run("inpaint", photo, *settings(pipeline, **options), expect=1)
    assert not (tmp_path / "new.png").exists()


def change_index(folder, **changes):
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_unet(folder, **changes):
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rename(folder, suffix):
    for path in (folder / "unet").glob("*.safetensors"):
        path.rename(path.with_suffix(suffix))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "model_index.json").unlink(), "cannot read"),
        (lambda f: (f / "model_index.json").write_text("{"), "is no JSON"),
        (lambda f: change_index(f, _class_name="StableDiffusionPipeline"), "holds StableDiffusionPipeline, expected"),
        (lambda f: change_index(f, _class_name=["mine", "Mine"]), "a pipeline of its own code"),
        (lambda f: change_index(f, unet=["mine", "MyUNet"]), "unet is ['mine', 'MyUNet'], expected UNet2DCond"),
        (lambda f: change_index(f, extra=["transformers", "AutoModel"]), "extra is ['transformers', 'AutoModel']"),
        (lambda f: change_index(f, unet=["mine", "UNet2DConditionModel"]), "unet is ['mine', 'UNet2DConditionM"),
        (lambda f: change_index(f, unet=["diffusers", "x", "UNet2DConditionModel"]), "unet is ['diffusers', 'x', "),
        (lambda f: change_index(f, unet=["UNet2DConditionModel"]), "unet is ['UNet2DConditionModel'], expected"),
        (lambda f: change_index(f, unet=["diffusers", ["x"]]), "unet is ['diffusers', ['x']], expected"),
        (lambda f: change_index(f, unet=[]), "unet is [], expected"),
        (lambda f: (f / "unet" / "mine.py").write_text("raise SystemExit"), "holds unet/mine.py"),
        (lambda f: (f / "unet" / "mine.pyc").write_bytes(b"x"), "holds unet/mine.pyc"),
        (lambda f: (f / "vae" / "mine.so").write_bytes(b"x"), "holds vae/mine.so"),
        (lambda f: change_unet(f, sample_size=[8, 8]), "sample_size of unet/config.json is [8, 8], expected a"),
        (lambda f: change_unet(f, sample_size=None), "sample_size of unet/config.json is None, expected a"),
        (lambda f: change_index(f, unet=[None, None]), "names no unet in model_index.json"),
        (lambda f: rename(f, ".bin"), "unet/diffusion_pytorch_model.bin are a pickle, which could run code"),
        (lambda f: rename(f, ".txt"), "unet has no .safetensors file"),
        (lambda f: next((f / "vae").glob("*.safetensors")).write_bytes(b"x" * 64), "cannot be opened"),
    ],
)  # fmt: skip
def test_folders_that_are_no_plain_pipeline_are_refused(pipeline, tmp_path, change, message, no_network):
    folder = tmp_path / "changed"
    shutil.copytree(pipeline, folder)
    change(folder)
    with pytest.raises(FileFormatError) as error:
        Inpainter.load(folder, "cpu")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_is_no_pipeline(tmp_path):
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(FileFormatError, match=r"model.ckpt is a file; give the folder"):
        Inpainter.load(tmp_path / "model.ckpt", "cpu")


@pytest.mark.parametrize("name", ["diffusers", "transformers"])
def test_the_extra_is_named_where_it_is_missing(pipeline, photo, tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    text = run("inpaint", photo, *settings(pipeline), "--out", tmp_path / "new.png", expect=1)
    assert f"in-painting needs {name}; pip install 'shoegen[diffusion]'" in text


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory"),
            "out of memory on cpu; choose a smaller --size than 64",
        ),
        (ZeroDivisionError("division\nby zero"), "the pipeline tiny failed: division by zero"),
    ],
)
def test_what_the_pipeline_raises_is_one_line(pipeline, photo, tmp_path, monkeypatch, what, message):
    def fail(*arguments, **keywords):
        raise what

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", fail)
    text = run("inpaint", photo, *settings(pipeline), "--out", tmp_path / "new.png", expect=1)
    assert message in text.splitlines()[-1]
    assert not (tmp_path / "new.png").exists()


def test_refused_or_broken_results_are_not_taken(pipeline):
    inpainter = Inpainter.load(pipeline, "cpu")
    image, mask = np.zeros((SIDE, SIDE, 3), np.uint8), np.ones((SIDE, SIDE), bool)
    config = InpaintingConfig(prompt="boot", steps=1)
    inpainter.pipeline.safety_checker = lambda images, clip_input: (images, [True])
    inpainter.pipeline.feature_extractor = lambda images, **_: Features()
    with pytest.raises(DataError, match="the safety checker of tiny refuses the result"):
        inpainter.paint(image, [mask], config)
    inpainter.pipeline.safety_checker = None
    torch.nn.init.constant_(inpainter.pipeline.vae.decoder.conv_out.bias, np.nan)
    with pytest.raises(DataError, match="values that are no numbers"):
        inpainter.paint(image, [mask], config)


class Features(dict):
    pixel_values = torch.zeros(1)

    def to(self, device):
        return self


def test_the_libraries_are_as_loud_as_before(pipeline):
    from diffusers.utils import logging as ours
    from transformers.utils import logging as theirs

    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in (ours, theirs)]
    Inpainter.load(pipeline, "cpu")
    assert [
        (library.get_verbosity(), library.is_progress_bar_enabled()) for library in (ours, theirs)
    ] == before
