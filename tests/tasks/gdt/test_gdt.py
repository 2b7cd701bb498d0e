from typing import Any

import pytest
import torch
from slow_stica import keys_of
from tiny_task import AUDIO_RATE_HZ, CHANNELS, EMBEDDING, FPS, FRAMES, SIZE, create_trunk

from stica_pv.errors import UsageError
from stica_pv.models import AveragePool, create_audio_resnet9, create_projection_head
from stica_pv.structures import Batch
from stica_pv.tasks.gdt.gdt import GDT
from stica_pv.tasks.gdt.terms import HYPOTHESES, versions_of
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.transforms import ColorSettings, RandomResizedCrop, create_log_mel

INDICES = (11, 5, 8, 2)
PLAIN = ColorSettings(jitter_prob=0.0, gray_prob=0.0, blur_prob=0.0)


def gdt(hypothesis: str = "h9", **changes: Any) -> GDT:
    torch.manual_seed(0)
    parts: dict[str, Any] = {
        "clip": ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop()),
        "color": ColorSettings(),
        "volume_jitter": 0.1,
        "spec_augment": "medium",
        "backbone": create_trunk(),
        "pool": AveragePool(CHANNELS),
        "video_head": create_projection_head(in_dim=CHANNELS, hidden_dim=6, out_dim=EMBEDDING, dropout=0.0),
        "log_mel": create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=16, fft_size=512),
        "bands": 16,
        "audio_tower": create_audio_resnet9(width=2),
        "audio_head": create_projection_head(in_dim=16, hidden_dim=6, out_dim=EMBEDDING, dropout=0.0),
        "hypothesis": hypothesis,
    }
    return GDT(**(parts | changes))


def batch_for(task: GDT, indices: tuple[int, ...] = INDICES, valid: float = 1.0) -> Batch:
    rngs = [torch.Generator().manual_seed(index) for index in indices]
    samples = round(FRAMES / FPS * AUDIO_RATE_HZ)

    def frames() -> torch.Tensor:
        shape = (3, FRAMES, SIZE, SIZE)
        return torch.stack([torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for rng in rngs])

    specs = task.views().specs
    audio = {
        spec.name: torch.stack([torch.rand(samples, generator=rng) * 2 - 1 for rng in rngs])
        for spec in specs
        if spec.audio
    }
    shares = {name: torch.tensor([valid] + [1.0] * (len(indices) - 1)) for name in audio}
    return Batch({spec.name: frames() for spec in specs}, audio, shares, torch.tensor(indices))


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
def test_only_the_versions_of_the_hypothesis_are_read_and_learn(hypothesis: str) -> None:
    task = gdt(hypothesis)
    assert tuple(spec.name for spec in task.views().specs) == versions_of(hypothesis)
    terms = task(batch_for(task), task.sample_params(keys_of(indices=INDICES)))
    terms.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in task.parameters())
    assert any(p.grad.abs().sum() > 0 for p in task.backbone.parameters())
    assert terms.scalars["loss"].item() == pytest.approx(terms.total.item())


def test_a_time_and_its_reversal_share_a_window_and_two_times_do_not() -> None:
    views = gdt("h9").views()
    assert [(spec.name, spec.window, spec.reversed, spec.audio is not None) for spec in views.specs] == [
        ("1", "1", False, True),
        ("1R", "1", True, False),
        ("2", "2", False, True),
        ("2R", "2", True, False),
    ]
    starts = [views.sample_windows(9.0, torch.Generator().manual_seed(i)) for i in range(300)]
    first, second = (torch.tensor([drawn[name].start_s for drawn in starts]) for name in ("1", "2"))
    slack = 9.0 - FRAMES / FPS
    assert first.min() >= 0
    assert first.max() <= slack
    assert first.mean().item() == pytest.approx(slack / 2, rel=0.1)
    assert abs(torch.corrcoef(torch.stack((first, second)))[0, 1]) < 0.15


def test_spectrogram_of_a_reversal_is_the_flipped_one_of_its_time() -> None:
    task = gdt("h2", color=PLAIN, volume_jitter=0.0, spec_augment="none")
    inputs = task.prepare(batch_for(task), task.sample_params(keys_of(indices=INDICES)))
    torch.testing.assert_close(inputs["log_mel 1R"], inputs["log_mel 1"].flip(-1), rtol=0, atol=1e-5)
    assert not torch.equal(inputs["log_mel 1R"], inputs["log_mel 1"])


def test_versions_are_colored_and_masked_independently() -> None:
    task = gdt("h2", spec_augment="heavy")
    params = task.sample_params(keys_of(indices=INDICES))
    assert not torch.equal(params.color[0].factors, params.color[1].factors)
    assert not torch.equal(params.volume[0], params.volume[1])
    assert not torch.equal(params.masks[0].columns, params.masks[1].columns)
    again = task.sample_params(keys_of(indices=INDICES, step=8))
    # exact: equal generators give equal values
    assert torch.equal(params.volume[0], again.volume[0])  # keyed by epoch and sample, not by step


def test_mirrored_audio_of_a_reversal_has_volume_and_masks_of_its_time() -> None:
    task = gdt("h9", color=PLAIN, spec_augment="heavy", reversed_audio="mirrored")
    params = task.sample_params(keys_of(indices=INDICES))
    inputs = task.prepare(batch_for(task), params)
    assert params.masks[0].columns[..., 1].any()
    for time in ("1", "2"):
        # exact: flipped, not calculated
        assert torch.equal(inputs[f"log_mel {time}R"], inputs[f"log_mel {time}"].flip(-1))
    assert not torch.equal(params.volume[0], params.volume[2])
    own = gdt("h9", spec_augment="heavy").sample_params(keys_of(indices=INDICES))
    # exact: the same draws of the same generators
    assert torch.equal(own.volume[0], params.volume[0])  # of a time it draws as before
    assert torch.equal(own.masks[2].columns, params.masks[2].columns)


def test_a_clip_that_is_mostly_silent_is_left_out() -> None:
    task = gdt("h4").eval()
    params = task.sample_params(keys_of(indices=INDICES))
    terms = task(batch_for(task, valid=0.2), params)
    assert terms.scalars["audio_share"].item() == 0.75
    inputs = task.prepare(batch_for(task, valid=0.2), params)
    rows = task.embed(inputs, params)
    kept = {name: value[:, 1:] for name, value in rows.items()}
    alone = task.loss(kept, kept, rank_offset=0)
    assert terms.total.item() == pytest.approx(alone.total.item(), rel=1e-5)


def test_running_batch_norm_sees_one_version_at_a_time() -> None:
    task = gdt("h9")
    task(batch_for(task), task.sample_params(keys_of(indices=INDICES)))
    assert task.backbone[1].num_batches_tracked == 4
    assert task.audio_tower.bn1.num_batches_tracked == 4
    assert task.video_head.norm.num_batches_tracked == 4


def test_virtual_ranks_average_to_one_process() -> None:
    task = gdt("h7").eval()
    params = task.sample_params(keys_of(indices=INDICES))
    rows = task.embed(task.prepare(batch_for(task), params), params)
    one = task.loss(rows, rows, rank_offset=0).total
    parts = [
        task.loss({name: value[:, i : i + 2] for name, value in rows.items()}, rows, rank_offset=i).total
        for i in (0, 2)
    ]
    assert torch.stack(parts).mean().item() == pytest.approx(one.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("hypothesis", "negatives", "keys"), [("h1", "intended", 7), ("h2", "intended", 15), ("h5", "intended", 14)]
)
def test_number_of_negatives(hypothesis: str, negatives: str, keys: int) -> None:
    assert gdt(hypothesis, negatives=negatives).negatives(8) == keys


def test_silence_and_a_bad_temperature_are_refused() -> None:
    with pytest.raises(UsageError, match="needs audio"):
        gdt(clip=ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop(), silence_allowed=True))
    with pytest.raises(UsageError, match="CONTRASTIVE.TEMPERATURE"):
        gdt(temperature=0.0)
