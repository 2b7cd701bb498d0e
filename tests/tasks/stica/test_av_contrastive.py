import copy

import pytest
import torch
import torch.nn.functional as F
from slow_stica import INDICES, UNEVEN, detached, keys_of, random_embeddings, slow_head, slow_total
from tiny_task import CELLS, CHANNELS, FRAMES, SIZE, STEPS, create_trunk, tiny_batch, tiny_task
from torch import nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.models import AveragePool, TransformerPool
from stica_pv.tasks import AVContrastive, CropSettings

PAIRINGS = ("all", "released")


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("counts", [(2, 4, 0, 0), (2, 4, 2, 1), (1, 3, 0, 0), (0, 0, 2, 2), (1, 0, 0, 0)])
@pytest.mark.parametrize("passes", [1, 2])
def test_loss_equals_the_written_out_one(pairing: str, counts, passes: int) -> None:
    task = tiny_task(crops=CropSettings(*counts, pairing=pairing), audio_head_passes=passes)
    embeddings = random_embeddings(task, (1.0,) * 4)
    terms = task.loss(embeddings, detached(embeddings), rank_offset=0)
    slow = slow_total(task, embeddings)
    assert terms.total.item() == pytest.approx(slow["total"], rel=1e-10)
    assert terms.scalars["loss"].item() == pytest.approx(slow["total"], rel=1e-10)
    assert terms.scalars["loss_cross"].item() == pytest.approx(slow["cross"], rel=1e-10)
    if len(task.table.terms):
        assert terms.scalars["loss_within"].item() == pytest.approx(slow["within"], rel=1e-10)
        for kind in ("space", "time"):
            if f"loss_{kind}" in terms.scalars:
                assert terms.scalars[f"loss_{kind}"].item() == pytest.approx(slow[kind], rel=1e-10)
    assert not any(value.requires_grad for value in terms.scalars.values())


@pytest.mark.parametrize("a", [0.2, 0.9])
def test_a_weighs_cross_modal_against_within_modal(a: float) -> None:
    task = tiny_task(cross_modal_weight=a)
    embeddings = random_embeddings(task, (1.0,) * 4)
    total = task.loss(embeddings, detached(embeddings), rank_offset=0).total
    assert total.item() == pytest.approx(slow_total(task, embeddings, a)["total"], rel=1e-10)


@pytest.mark.parametrize("valid", [UNEVEN, (0.0,) * 5 + (1.0,), (0.0,) * 6])
def test_clips_without_audio_are_left_out_of_the_cross_modal_loss_alone(valid: tuple[float, ...]) -> None:
    task = tiny_task()
    embeddings = random_embeddings(task, valid)
    terms = task.loss(embeddings, detached(embeddings), rank_offset=0)
    slow = slow_total(task, embeddings)
    assert terms.scalars["loss_cross"].item() == pytest.approx(slow["cross"], rel=1e-10, abs=1e-12)
    assert terms.total.item() == pytest.approx(slow["total"], rel=1e-10)
    assert terms.scalars["audio_share"].item() == pytest.approx(sum(v >= 0.5 for v in valid) / 6)
    terms.total.backward()
    silent = embeddings["audio_valid"][0, :, 0] == 0
    assert not embeddings["audio"].grad[:, silent].any()
    assert not embeddings["windows"].grad[task.table.whole][:, silent].any()
    assert all(torch.isfinite(embeddings[name].grad).all() for name in ("windows", "audio"))


def test_gradient_passes_through_queries_only() -> None:
    task = tiny_task(crops=CropSettings(2, 4, pairing="released"))
    embeddings = random_embeddings(task, (1.0,) * 4)
    task.loss(embeddings, detached(embeddings), rank_offset=0).total.backward()
    # View 1: whole, large 1, large 2; its first large crop is only ever a key.
    learns = [bool(rows.any()) for rows in embeddings["windows"].grad]
    assert learns == [True, False, True, True, True, *[True] * 4]


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_virtual_ranks_average_to_one_process(ranks: int, pairing: str) -> None:
    task = tiny_task(crops=CropSettings(2, 2, 1, 1, pairing=pairing))
    whole, parts = (random_embeddings(task, UNEVEN) for _ in range(2))
    one = task.loss(whole, detached(whole), rank_offset=0)
    share = len(UNEVEN) // ranks
    several = [
        task.loss(
            {name: rows[:, first : first + share] for name, rows in parts.items()}, detached(parts), rank_offset=first
        )
        for first in range(0, len(UNEVEN), share)
    ]
    total = torch.stack([terms.total for terms in several]).mean()
    assert total.item() == pytest.approx(one.total.item(), rel=1e-12)
    for name, value in one.scalars.items():
        mean = sum(terms.scalars[name].item() for terms in several) / ranks
        assert mean == pytest.approx(value.item(), rel=1e-6), name
    one.total.backward()
    total.backward()
    for name in ("windows", "audio"):
        assert torch.allclose(whole[name].grad, parts[name].grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("pool", [TransformerPool(CHANNELS, heads=2), AveragePool(CHANNELS)])
def test_a_step_equals_one_that_slices_each_crop_and_embeds_it_by_itself(pairing: str, pool) -> None:
    crops = CropSettings(2, 4, 2, 1, pairing=pairing, exclusive_bound=pairing == "released")
    task = tiny_task(double=True, pool=pool, crops=crops)
    params, batch = task.sample_params(keys_of()), tiny_batch(INDICES, UNEVEN)
    inputs = task.prepare(batch, params)
    rows = []
    for view, name in enumerate(("view1", "view2")):
        feature_map = task.backbone(inputs[name])
        assert feature_map.shape[1:] == (CHANNELS, STEPS, CELLS, CELLS)
        for box in task.table.sample(view, (STEPS, CELLS, CELLS), generator("crops", 7, 3, view)):
            (t0, t1), (y0, y1), (x0, x1) = box.tolist()
            cut = feature_map[:, :, t0:t1, y0:y1, x0:x1].mean((3, 4))
            tokens = F.adaptive_avg_pool1d(cut, pool.num_tokens(STEPS)).mT
            rows.append(slow_head(task.video_head, pool.pool_tokens(tokens)))
    audio = slow_head(task.audio_head, task.audio_tower(inputs["log_mel"]))
    heard = torch.tensor([float(v >= 0.5) for v in UNEVEN]).view(1, -1, 1)
    slow = {"windows": torch.stack(rows), "audio": audio.unsqueeze(0), "audio_valid": heard}
    ours = task.embed(inputs, params)
    assert torch.allclose(ours["windows"], slow["windows"], atol=1e-5)  # the weights of the crop plan are fp32
    assert torch.allclose(ours["audio"], slow["audio"], atol=1e-10)
    assert torch.equal(ours["audio_valid"], heard.double())  # exact: small whole numbers, which floats hold
    assert task(batch, params).total.item() == pytest.approx(slow_total(task, slow)["total"], abs=1e-5)


def test_running_statistics_of_the_head_are_those_of_one_call_per_crop() -> None:
    task = tiny_task(double=True)
    params = task.sample_params(keys_of())
    inputs = task.prepare(tiny_batch(INDICES), params)
    norm, head = nn.BatchNorm1d(6).double(), copy.deepcopy(task.video_head)
    maps = [task.backbone(inputs[name]) for name in ("view1", "view2")]
    tokens = torch.cat([task.feature_crop(m, crop) for m, crop in zip(maps, params.crops, strict=True)])
    for group in head.linear1(task.pool.pool_tokens(tokens)):
        norm(group)
    task.embed(inputs, params)
    assert torch.allclose(task.video_head.norm.running_mean, norm.running_mean, atol=1e-10)
    assert torch.allclose(task.video_head.norm.running_var, norm.running_var, atol=1e-10)
    assert task.video_head.norm.num_batches_tracked == norm.num_batches_tracked == len(tokens)


@pytest.mark.parametrize("task", [tiny_task(), tiny_task(crops=CropSettings(2, 4, pairing="released"))])
def test_gradients_reach_every_parameter(task: AVContrastive) -> None:
    terms = task(tiny_batch(INDICES), task.sample_params(keys_of()))
    assert terms.total.isfinite()
    assert terms.total.ndim == 0
    task.zero_grad()
    terms.total.backward()
    without = [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()]
    # The bias of the keys shifts all scores of a query equally, so the softmax may not depend on it.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_batch_without_any_audio_trains_the_video_alone() -> None:
    task = tiny_task()
    terms = task(tiny_batch(INDICES, (0.0,) * 6), task.sample_params(keys_of()))
    terms.total.backward()
    assert terms.total.isfinite()
    assert terms.scalars["loss_cross"].item() == 0
    audio = [p for part in (task.audio_tower, task.audio_head) for p in part.parameters()]
    assert all(p.grad is not None and not p.grad.any() for p in audio)
    assert task.backbone[0].weight.grad.any()


def test_bf16_autocast_keeps_embeddings_and_loss_in_fp32() -> None:
    task, other = tiny_task(), tiny_task()
    params, batch = task.sample_params(keys_of()), tiny_batch(INDICES, UNEVEN)
    exact = task(batch, params).total
    with torch.autocast("cpu", torch.bfloat16):
        embeddings = other.embed(other.prepare(batch, params), params)
        terms = other.loss(embeddings, detached(embeddings), rank_offset=0)
    assert {rows.dtype for rows in embeddings.values()} == {torch.float32}
    assert terms.total.dtype == torch.float32
    outside = task.loss(embeddings, detached(embeddings), rank_offset=0).total.item()
    assert terms.total.item() == pytest.approx(outside, rel=1e-6)  # in bf16 it would be off by 1e-2
    assert terms.total.item() == pytest.approx(exact.item(), abs=0.1)


def test_prepared_audio_is_the_spectrogram_of_the_louder_or_softer_waveform() -> None:
    task, batch = tiny_task(), tiny_batch(INDICES, UNEVEN)
    params = task.sample_params(keys_of())
    inputs = task.prepare(batch, params)
    assert ((params.volume - 1).abs() <= 0.1).all()
    # exact: the same code with the same shapes, twice
    assert torch.equal(inputs["log_mel"], task.log_mel(batch.audio["view1"] * params.volume[:, None]))
    assert inputs["audio_valid"].tolist() == [1, 0, 1, 0, 0, 1]
    assert inputs["view1"].shape == (6, 3, FRAMES, SIZE, SIZE)
    assert all(value.dtype == torch.float32 for value in inputs.values())


def test_crops_that_the_map_cannot_give_end_before_the_first_step() -> None:
    one_cell = nn.Sequential(create_trunk(), nn.AdaptiveAvgPool3d((STEPS, 1, 1)))
    with pytest.raises(UsageError, match=r"CROP.NUM_LARGE_SPATIAL 2: a feature map of \(4, 1, 1\) cells"):
        tiny_task(backbone=one_cell)
    tiny_task(backbone=one_cell, crops=CropSettings(0, 0, 2, 1))
