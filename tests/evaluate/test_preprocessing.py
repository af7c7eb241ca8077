"""What a foreign model needs comes from a preset, a file and the command line."""

import pytest

from fct.core.errors import FctError
from fct.evaluate.preprocessing import PRESETS, Preprocessing, parse_normalisation, read_options
from fct.images.fit import Fit


def test_every_preset_says_what_float_models_need():
    """A preset has a normalisation and says how images become a square."""
    assert all(preset.normalise and preset.fit(224).interpolation for preset in PRESETS.values())


@pytest.mark.parametrize(("size", "shorter"), [(224, 256), (299, 341), (240, 274)])
def test_a_ratio_is_rounded_down_as_timm_does(size, shorter):
    """timm scales the shorter side to floor(size / crop_pct)."""
    assert PRESETS["timm"].fit(size) == Fit(size, shorter, interpolation="bicubic")


def test_options_override_a_preset():
    """What is said on the command line wins; the rest of the preset stays."""
    found = read_options("torchvision", {"normalise": "unit", "layout": None}, ("channels=bgr",))
    assert found == Preprocessing(crop=0.875, interpolation="bilinear", normalise="unit", channels="bgr")


def test_another_fit_replaces_that_of_the_preset():
    """shorter, crop and stretch exclude each other, so that one on the command line removes the preset's."""
    found = read_options("timm", {}, ("stretch=true",))
    assert (found.crop, found.stretch) == (None, True)


def test_a_file_is_a_preset(tmp_path):
    """A YAML file has the same keys."""
    file = tmp_path / "ours.yaml"
    file.write_text("shorter: 232\nnormalise: 0.5/0.25\n")
    assert read_options(str(file), {}, ()) == Preprocessing(shorter=232, normalise="0.5/0.25")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("chanels: bgr\n", "ours.yaml, line 1: chanels: unknown key. Did you mean 'channels'?"),
        ("size: 224\nchannels: gbr\n", "ours.yaml, line 2: channels: 'gbr' is not possible. Did you mean 'rgb'?"),
        ("crop: 0.875\nshorter: 256\n", "ours.yaml: shorter and crop exclude each other: keep one of them"),
    ],
    ids=["key", "value", "two fits"],
)
def test_a_mistake_in_a_file_is_named(tmp_path, content, message):
    """The error names the file, the line, the key and the value."""
    file = tmp_path / "ours.yaml"
    file.write_text(content)
    with pytest.raises(FctError) as caught:
        read_options(str(file), {}, ())
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize(
    ("preset", "options", "assignments", "message"),
    [
        ("tochvision", {}, (), "--preset tochvision: there is no such preset or file. Presets: torchvision, timm"),
        (None, {}, ("bgr",), "--set bgr: write KEY=VALUE"),
        (None, {"size": 224}, ("size=256",), "--set size=256: size is given twice"),
        (None, {}, ("channel=bgr",), "command line: channel: unknown key. Did you mean 'channels'?"),
        (None, {}, ("crop=2",), "command line: crop: this must be less than or equal to 1"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(preset, options, assignments, message):
    """The error names the option, the key and the value."""
    with pytest.raises(FctError) as caught:
        read_options(preset, options, assignments)
    assert message in str(caught.value)


def test_numbers_for_bytes_are_refused():
    """Means of 0..255 would be applied to pixels of 0..1 without a word."""
    with pytest.raises(ValueError, match="Divide all of them by 255"):
        parse_normalisation("123.7,116.3,103.5/58.4,57.1,57.4")


@pytest.mark.parametrize("text", ["0.5", "0.5/0", "0.5,0.5/1", "nan/1", "0.5/inf", "0.5/1/2"])
def test_what_is_no_normalisation_is_refused(text):
    """There must be one or three finite means and positive deviations."""
    with pytest.raises(ValueError, match="neither unit"):
        parse_normalisation(text)


def test_a_side_that_leaves_nothing_to_crop_is_refused():
    """The shorter side cannot have fewer pixels than the model takes."""
    with pytest.raises(FctError, match="shorter: 232 pixels are fewer than the model's 256"):
        Preprocessing(shorter=232).fit(256)
