import math
from typing import Any

import pytest
import torch
from slow_stica import keys_of
from tiny_task import CHANNELS, FPS, FRAMES, SIZE, create_trunk

from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.models import AveragePool, MLPHead
from stica_pv.structures import Batch
from stica_pv.tasks.cvrl.config import cvrl_from_config
from stica_pv.tasks.cvrl.cvrl import CVRL, VIEWS, PairSettings
from stica_pv.transforms import RandomResizedCrop, SimclrColorSettings
from stica_pv.transforms.windows import IntervalSettings

INDICES = (11, 5, 8, 2)
COLORS = SimclrColorSettings(blur_kernel=5)


def cvrl(**changes: Any) -> CVRL:
    torch.manual_seed(0)
    pair = PairSettings(FRAMES, FPS, SIZE, RandomResizedCrop(), IntervalSettings(), (COLORS, COLORS))
    head = MLPHead(CHANNELS, hidden_layers=2, hidden_dim=6, out_dim=4)
    parts: dict[str, Any] = {"pair": pair, "backbone": create_trunk(), "pool": AveragePool(CHANNELS), "head": head}
    return CVRL(**(parts | changes))


def frames(indices: tuple[int, ...] = INDICES) -> Batch:
    rngs = [torch.Generator().manual_seed(index) for index in indices]
    shape = (3, FRAMES, SIZE, SIZE)
    video = {
        name: torch.stack([torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for rng in rngs])
        for name in VIEWS
    }
    return Batch(video, {}, {}, torch.tensor(indices))


def test_a_step_reaches_every_parameter() -> None:
    task = cvrl()
    terms = task(frames(), task.sample_params(keys_of(indices=INDICES)))
    terms.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in task.parameters())
    assert all(p.grad.abs().sum() > 0 for p in (task.backbone[0].weight, task.head.layers[0].weight))


def test_sum_is_twice_the_mean_and_chance_is_two_logs() -> None:
    rows = {"video": torch.zeros(2, 5, 4)}
    total = cvrl(reduction="sum").loss(rows, rows, rank_offset=0).total
    assert total.item() == pytest.approx(2 * math.log(2 * 5 - 1), rel=1e-6)
    assert cvrl(reduction="mean").loss(rows, rows, rank_offset=0).total.item() == pytest.approx(total.item() / 2)


def test_batch_norm_sees_both_clips_together() -> None:
    task = cvrl()
    task(frames(), task.sample_params(keys_of(indices=INDICES)))
    assert task.backbone[1].num_batches_tracked == 1
    assert task.head.layers[1].num_batches_tracked == 1


def test_clips_have_their_own_colors_and_those_of_the_second_may_differ_in_kind() -> None:
    pair = PairSettings(
        FRAMES,
        FPS,
        SIZE,
        RandomResizedCrop(),
        IntervalSettings(),
        (SimclrColorSettings(blur_prob=1.0), SimclrColorSettings(blur_prob=0.0, solarise_prob=1.0)),
    )
    first, second = cvrl(pair=pair).sample_params(keys_of(indices=INDICES)).distortion
    assert (first.sigma > 0).all()
    assert not first.solarize.any()
    assert not second.sigma.any()
    assert second.solarize.all()
    assert not torch.equal(first.values, second.values)


def test_virtual_ranks_average_to_one_process() -> None:
    task = cvrl().eval()
    params = task.sample_params(keys_of(indices=INDICES))
    rows = task.embed(task.prepare(frames(), params), params)
    one = task.loss(rows, rows, rank_offset=0)
    parts = [task.loss({"video": rows["video"][:, i : i + 2]}, rows, rank_offset=i) for i in (0, 2)]
    assert torch.stack([part.total for part in parts]).mean().item() == pytest.approx(one.total.item(), rel=1e-6)
    assert sum(part.scalars["accuracy"].item() for part in parts) / 2 == pytest.approx(one.scalars["accuracy"].item())


def test_no_audio_is_asked_for() -> None:
    views = cvrl().views()
    assert not views.needs_audio
    assert all(spec.audio is None for spec in views.specs)
    assert cvrl().negatives(8) == 14


def test_dropout_in_the_head_is_refused_instead_of_being_ignored() -> None:
    with pytest.raises(UsageError, match="HEAD.DROPOUT"):
        cvrl_from_config(get_cfg())
