"""What STiCA's settings change, which it refuses, and what the others see of it."""

from typing import Any

import pytest
import torch
from slow_stica import INDICES, keys_of, slow_total
from tiny_task import (
    AUDIO_RATE_HZ,
    CELLS,
    CHANNELS,
    EMBEDDING,
    FPS,
    FRAMES,
    SIZE,
    crossmodal_task,
    tiny_batch,
    tiny_task,
)

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.structures import AudioSpec
from stica_pv.tasks import ClipSettings
from stica_pv.transforms import ColorSettings, RandomResizedCrop


def test_second_audio_pass_differs_by_dropout_alone() -> None:
    once, twice, noisy = (
        tiny_task(audio_head_passes=passes, dropout=dropout) for passes, dropout in ((1, 0.0), (2, 0.0), (2, 0.5))
    )
    params, batch = once.sample_params(keys_of()), tiny_batch(INDICES)
    one, two, apart = (task.embed(task.prepare(batch, params), params)["audio"] for task in (once, twice, noisy))
    assert one.shape == (1, 6, EMBEDDING)
    assert two.shape == apart.shape == (2, 6, EMBEDDING)
    torch.testing.assert_close(two[0], two[1], rtol=0, atol=1e-6)
    assert torch.allclose(one[0], two[0], atol=1e-6)
    assert not torch.allclose(apart[0], apart[1], atol=1e-2)
    totals = [task(batch, params).total.item() for task in (once, twice)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)


def test_crossmodal_baseline_is_the_cross_modal_loss_alone() -> None:
    task = crossmodal_task(double=True)
    params, batch = task.sample_params(keys_of()), tiny_batch(INDICES)
    assert [crop.space.shape for crop in params.crops] == [(1, CELLS * CELLS)] * 2
    embeddings = task.embed(task.prepare(batch, params), params)
    assert embeddings["windows"].shape == (2, 6, EMBEDDING)
    terms = task(batch, params)
    assert terms.total.item() == pytest.approx(slow_total(task, embeddings, a=1.0)["cross"], rel=1e-6)
    assert not any("within" in name or "space" in name or "time" in name for name in terms.scalars)
    terms.total.backward()
    assert all(p.grad is not None and p.grad.any() for p in task.parameters())


def test_no_crops_at_a_below_one_gives_no_within_modal_loss() -> None:
    task = crossmodal_task(cross_modal_weight=0.5)
    terms = task(tiny_batch(INDICES), task.sample_params(keys_of()))
    assert terms.total.item() == pytest.approx(0.5 * terms.scalars["loss_cross"].item())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cross_modal_weight": 1.0}, r"set CROP.NUM_\* to 0"),
        ({"cross_modal_weight": 0.0}, "0 < a <= 1, got 0.0"),
        ({"cross_modal_weight": 1.5}, "0 < a <= 1, got 1.5"),
        ({"cross_modal_temperature": 0.0}, "must be positive"),
        ({"within_modal_temperature": -1.0}, "must be positive"),
        ({"audio_head_passes": 3}, "expected 1 or 2, got 3"),
        ({"clip": ClipSettings(1, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop())}, "1 frames of 28 px"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_task(**wrong)


@pytest.mark.parametrize("silence_allowed", [False, True])
def test_views_are_two_of_one_window_with_the_audio_beside_the_first(silence_allowed: bool) -> None:
    transform = RandomResizedCrop()
    clip = ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, transform, silence_allowed=silence_allowed)
    views = tiny_task(clip=clip).views()
    assert [spec.name for spec in views.specs] == ["view1", "view2"]
    assert [spec.audio for spec in views.specs] == [AudioSpec(AUDIO_RATE_HZ), None]
    for spec in views.specs:
        assert (spec.window, spec.frames, spec.fps, spec.size) == ("clip", FRAMES, FPS, SIZE)
        assert spec.transform is transform
        assert not spec.reversed
    assert views.min_seconds == FRAMES / FPS
    assert views.needs_audio is not silence_allowed
    window = views.sample_windows(9.0, generator("views"))["clip"]
    assert window.seconds == FRAMES / FPS
    assert 0 <= window.start_s <= 8.5


def test_encoders_are_the_trained_networks_and_give_the_vector_before_the_projection() -> None:
    task = tiny_task(color=ColorSettings(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))).eval()
    encoders, batch = task.encoders(), tiny_batch((1,))
    assert set(encoders) == {"video", "audio"}
    found = {id(p) for encoder in encoders.values() for p in encoder.parameters()}
    assert found == {id(p) for p in task.parameters()}
    with torch.no_grad():
        video, audio = encoders["video"](batch.video["view1"]), encoders["audio"](batch.audio["view1"])
        by_hand = [(batch.video["view1"][:, c] / 255 - (0.1, 0.2, 0.3)[c]) / (0.5, 0.6, 0.7)[c] for c in range(3)]
        assert torch.allclose(video, task.pool(task.backbone(torch.stack(by_hand, 1))), atol=1e-5)
        # exact: the same code with the same shapes, twice
        assert torch.equal(audio, task.audio_tower(task.log_mel(batch.audio["view1"])))
    assert video.shape == (1, CHANNELS)
    assert audio.shape == (1, 16)


def test_weights_hold_no_index_tables() -> None:
    parts = {name.split(".")[0] for name in tiny_task().state_dict()}
    assert parts == {"backbone", "pool", "video_head", "audio_tower", "audio_head"}


def test_every_parameter_is_given_to_the_optimizer() -> None:
    task = tiny_task()
    (group,) = task.parameter_groups()
    assert {id(p) for p in group.parameters} == {id(p) for p in task.parameters()}
