import pytest
import torch
from made_videos import CPU, FakeReader, Normed, videos
from torch import Tensor, nn

from stica_pv.evaluation.features import reestimate
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.reestimate import reestimate_batch_norm, spread_over
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.models.projection import GroupBatchNorm, create_projection_head
from stica_pv.tasks.encoders import VideoEncoder

ONE = FeatureRequest(clips=1)
LOADING = Loading(CPU, clips_at_once=6, num_workers=0)


def first_clips(indices: list[int]) -> Tensor:
    numbers = torch.tensor(indices, dtype=torch.float32)
    red = 10 * numbers.view(-1, 1).expand(-1, 2)
    times = torch.tensor([[12.0, 15.0]]).expand(len(indices), -1)  # 1.25 s and 1.5 s as uint8
    return torch.stack([red, times, torch.ones_like(red)], dim=1)  # (B, 3, T); all cells of a frame are equal


def test_statistics_are_the_means_over_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reestimate, "BATCH_SIZE", 3)
    encoder = Normed()
    encoder.norm.running_mean.fill_(99.0)  # type: ignore[union-attr]
    reestimate_batch_norm(encoder, videos(6, request=ONE), range(6), LOADING)
    batches = [first_clips(indices).repeat_interleave(16, dim=2) for indices in ([0, 1, 2], [3, 4, 5])]
    mean = torch.stack([batch.mean(dim=(0, 2)) for batch in batches]).mean(dim=0)
    variance = torch.stack([batch.var(dim=(0, 2)) for batch in batches]).mean(dim=0)
    assert torch.allclose(encoder.norm.running_mean, mean, atol=1e-4)  # type: ignore[arg-type]
    assert torch.allclose(encoder.norm.running_var, variance, rtol=1e-5)  # type: ignore[arg-type]
    assert encoder.norm.momentum == 0.3
    assert not any(module.training for module in encoder.modules())


def test_the_norm_of_a_projection_head_is_re_estimated_too_and_dropout_stays_off():
    torch.manual_seed(0)

    class Pool(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=(2, 3, 4))

    head = create_projection_head(in_dim=3, hidden_dim=4, out_dim=2, dropout=0.5)
    encoder = VideoEncoder(nn.Identity(), Pool(), (0.0,) * 3, (1.0,) * 3, head)
    reestimate_batch_norm(encoder, videos(6, request=ONE), range(6), LOADING)
    norm = next(module for module in encoder.modules() if isinstance(module, GroupBatchNorm))
    rows = head.linear1(first_clips(list(range(6))).mean(dim=2) / 255)
    assert torch.allclose(norm.running_mean, rows.mean(dim=0), atol=1e-6)
    assert torch.allclose(norm.running_var, rows.var(dim=0), atol=1e-6)


def test_items_that_cannot_be_read_are_left_out():
    encoders = Normed(), Normed()
    reestimate_batch_norm(encoders[0], videos(6, request=ONE, reader=FakeReader(bad=["2.mp4"])), range(6), LOADING)
    reestimate_batch_norm(encoders[1], videos(6, request=ONE), [0, 1, 3, 4, 5], LOADING)
    assert torch.allclose(encoders[0].norm.running_mean, encoders[1].norm.running_mean)  # type: ignore[arg-type]


def test_the_items_are_spread_over_the_list():
    assert spread_over(range(100, 112), 4) == [100, 103, 106, 109]
    assert spread_over([5, 6], 4) == [5, 6]
