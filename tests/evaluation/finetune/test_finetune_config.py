"""What the keys of fine-tuning say of its test, and the name that separates protocols."""

from pathlib import Path

import pytest
from tiny_runs import tiny_cfg

from stica_pv.errors import UsageError
from stica_pv.evaluation.finetune.config import exact_name, settings_from_config


@pytest.mark.parametrize("key", ["EPOCHS", "CLIPS_PER_VIDEO", "TEST_CLIPS", "BATCH_SIZE", "CROP_SIZE", "NUM_FRAMES"])
def test_another_recipe_has_another_name(tmp_path: Path, key: str):
    values = {f"TEST__FINETUNE__{key}": 14}
    one, two = tiny_cfg(tmp_path, tmp_path / "out"), tiny_cfg(tmp_path, tmp_path / "out", **values)
    assert exact_name(one) != exact_name(two)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TEST__FINETUNE__TEST_STARTS", "released", "fixed views, at released starts)"),
        ("TEST__FINETUNE__COLOR_JITTER_PROB", 1.0, "fixed views, colors of 100% changed)"),
        ("CLASSIFICATION__SHORT_VIDEOS", "repeat_last", "fixed views, short videos repeat_last)"),
    ],
)
def test_what_is_not_the_default_is_reported_in_the_name(tmp_path: Path, key: str, value: object, message: str):
    assert exact_name(tiny_cfg(tmp_path, tmp_path / "out")).endswith("over 10 x 3 fixed views)")
    assert exact_name(tiny_cfg(tmp_path, tmp_path / "out", **{key: value})).endswith(message)


def test_the_released_test_is_asked_for_by_name(tmp_path: Path):
    keys = {"TEST__FINETUNE__TEST_STARTS": "released", "CLASSIFICATION__SHORT_VIDEOS": "repeat_last"}
    request = settings_from_config(tiny_cfg(tmp_path, tmp_path / "out", **keys)).request
    assert (request.starts, request.short_videos) == ("released", "repeat_last")


def test_the_default_test_is_ten_clips_by_three_crops(tmp_path: Path):
    settings = settings_from_config(tiny_cfg(tmp_path, tmp_path / "out"))
    assert (settings.request.clips, settings.request.spatial_crops, settings.request.average) == (10, 3, False)
    assert (settings.size, settings.average, settings.test_from, settings.clips_per_video) == (128, "logits", 8, 10)


def test_the_last_epoch_must_be_tested(tmp_path: Path):
    cfg = tiny_cfg(tmp_path, tmp_path / "out", TEST__FINETUNE__EPOCHS=4)
    with pytest.raises(UsageError, match=r"TEST_FROM_EPOCH 8 is after the end of training .*EPOCHS 4"):
        settings_from_config(cfg)
