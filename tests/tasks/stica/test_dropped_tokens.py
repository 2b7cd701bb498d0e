"""A step of STiCA with dropped tokens: exact under gradient caching, equal for equal keys, none in evaluation."""

import dataclasses

import torch
from tiny_task import AUDIO_RATE_HZ, FPS, FRAMES, tiny_batch, tiny_task

from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.models import TransformerPool, VideoTransformer, create_projection_head
from stica_pv.structures import Batch, StepKeys
from stica_pv.tasks import AVContrastive, ClipSettings, CropSettings
from stica_pv.transforms import RandomResizedCrop

INDICES = (3, 1, 4, 5)
SIZE = 64


def vit_task() -> AVContrastive:
    torch.manual_seed(0)
    pool = TransformerPool(16, heads=2)
    task = tiny_task(
        double=True,
        clip=ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop()),
        backbone=VideoTransformer(heads=2, depth=1, width=8),
        pool=pool,
        video_head=create_projection_head(in_dim=16, hidden_dim=6, out_dim=5, dropout=0.0),
        crops=CropSettings(2, 2),
        token_drop=0.5,
    )
    for part in task.modules():
        if hasattr(part, "num_batches_tracked"):
            part.eval()  # batch statistics would differ between a chunk and the batch
    return task


def batch() -> Batch:
    torch.manual_seed(1)
    video = {name: torch.randint(0, 256, (4, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8) for name in ("view1", "view2")}
    return dataclasses.replace(tiny_batch(INDICES), video=video)


def test_gradients_in_chunks_equal_those_of_the_whole_batch_and_keys_decide_the_positions() -> None:
    task, cached = vit_task(), vit_task()
    keys = StepKeys(0, 0, 0, INDICES)
    params = task.sample_params(keys)
    assert [tuple(kept.shape) for kept in params.kept] == [(4, 8), (4, 8)]
    again = task.sample_params(StepKeys(0, 9, 0, INDICES[2:]))  # another step and batch, the same samples
    for kept, other in zip(params.kept, again.kept, strict=True):
        torch.testing.assert_close(kept[2:], other)
    assert (params.kept[0] != params.kept[1]).any()
    assert (task.sample_params(StepKeys(0, 0, 1, INDICES)).kept[0] != params.kept[0]).any()
    task(batch(), params).total.backward()
    model = CachedModel(cached, Embedder(cached), chunk=2)
    model(batch(), params).total.backward()
    model.finish()
    for (name, p), q in zip(task.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-11, msg=name)


def test_encoders_compute_every_token() -> None:
    task = vit_task().float().eval()
    with torch.no_grad():
        found = task.encoders()["video"](batch().video["view1"], "map")
    assert (found.abs().sum(1) > 0).all()
