import sys
import types

import pytest

from shoegen.data.images import read_image
from shoegen.errors import ConfigError


class Widget:
    """As much of ipywidgets' as sliders need: values that tell when they change."""

    def __init__(self, children=(), **traits):
        self.children, self.heard = list(children), []
        self.__dict__.update(traits)

    def observe(self, handler, names):
        assert names == "value"
        self.heard.append(handler)

    def on_click(self, handler):
        self.click = lambda: handler(self)

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "value":
            for handler in self.heard:
                handler({"new": value})

    def _repr_mimebundle_(self, **options):
        return {"text/plain": "widget"}


@pytest.fixture
def widgets(monkeypatch):
    names = ("FloatSlider", "Button", "Image", "HTML", "VBox", "HBox")
    module = types.SimpleNamespace(**dict.fromkeys(names, Widget))
    monkeypatch.setitem(sys.modules, "ipywidgets", module)


def test_sliders_edit(model, widgets):
    shoe = model.sample(seed=3)
    sliders = shoe.sliders()
    assert list(sliders.sliders) == ["heel"]
    assert sliders.shoe is shoe
    picture = sliders._picture.value
    sliders.sliders["heel"].value = 1.5
    assert sliders.shoe.title == "seed 3, heel +1.5"
    assert sliders._picture.value != picture
    assert read_image(sliders._picture.value).shape == (256, 256, 3)
    assert "heel_height: " in sliders._text.value
    sliders._reset.click()
    assert sliders.shoe is shoe
    assert sliders._picture.value == picture
    assert sliders._repr_mimebundle_(include=None) == {"text/plain": "widget"}


def test_range_is_the_directions(model, widgets):
    import dataclasses

    direction = dataclasses.replace(model.direction("heel"), curve=[[0.0, 0.1, 0.1, 1.0]], reach=(-1.5, 2.5))
    direction.save(model.directions_folder / "heel.safetensors")
    slider = model.sample(seed=3).sliders("heel").sliders["heel"]
    assert (slider.min, slider.max) == (-1.5, 2.5)


def test_without_ipywidgets(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(ConfigError, match=r"pip install 'shoegen\[notebook\]'"):
        model.sample(seed=3).sliders()


def test_no_directions(model, widgets):
    (model.directions_folder / "heel.safetensors").unlink()
    with pytest.raises(ConfigError, match="has no directions"):
        model.sample(seed=3).sliders()
