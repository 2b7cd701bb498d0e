"""Two pathways, one of them hearing if asked."""

import copy

import pytest
import torch
from library_models import MODELS, av_maps, av_slowfast, shake
from pytorchvideo.transforms.functional import uniform_temporal_subsample

from stica_pv.errors import UsageError
from stica_pv.models import FeatureCrop, create_backbone, measure_pathways, plan_crops, same_window, trunk_of
from stica_pv.models.audio_pathways import AudioPathway
from stica_pv.models.slowfast_trunks import AudioVisualSlowFastTrunk, slow_frames, time_first


@pytest.mark.parametrize("alpha", [4, 8])
def test_slow_frames_are_those_of_the_library(alpha: int) -> None:
    for frames in range(1, 257):
        video = torch.arange(frames).view(1, 1, frames, 1, 1).float()
        theirs = uniform_temporal_subsample(video, -(-frames // alpha), temporal_dim=2)
        assert torch.equal(slow_frames(video, alpha), theirs)  # exact: copied, not calculated


def test_slow_frames_are_compiled_without_a_break() -> None:
    video = torch.arange(32).view(1, 1, 32, 1, 1).float()
    # exact: copied, not calculated
    assert torch.equal(torch.compile(slow_frames, backend="eager", fullgraph=True)(video, 4), slow_frames(video, 4))


@pytest.mark.parametrize("frames", [1, 5, 6, 30])
def test_any_number_of_frames_fits_the_fusion(frames: int) -> None:
    trunk = create_backbone("slowfast_r50", width=8).eval()
    slow, fast = measure_pathways(trunk, frames=frames, size=32)
    assert (slow.steps, fast.steps) == (-(-frames // 4), frames)


def test_the_clip_is_not_changed() -> None:
    trunk, video = create_backbone("slowfast_r50", width=8), torch.randn(2, 3, 4, 32, 32)
    before = video.clone()
    trunk(video)
    assert torch.equal(video, before)  # exact: copied, not calculated


@pytest.mark.parametrize("audio_steps", [32, 40])
def test_fusion_is_that_of_the_library_and_adapts_to_other_lengths_of_audio(audio_steps: int) -> None:
    torch.manual_seed(0)
    model = shake(av_slowfast()).eval()
    video, log_mel = torch.randn(1, 3, 8, 64, 64), torch.randn(1, 1, 24, audio_steps)
    trunk = AudioVisualSlowFastTrunk(copy.deepcopy(model), fusion=True).eval()
    with torch.no_grad():
        ours = trunk(video, log_mel)
    assert [tuple(one.shape) for one in ours] == [(1, 256, 2, 2, 2), (1, 32, 8, 2, 2)]
    if audio_steps == 32:  # 16 steps of audio for each slow frame, as the model wants it
        theirs = av_maps(model, slow_frames(video, 4), video, time_first(log_mel))
        for mine, other in zip(ours, theirs[:2], strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    trunk = create_backbone("av_slowfast_r50", width=8, fusion=True).eval()
    trunk(torch.randn(1, 3, 4, 64, 64), torch.randn(1, 1, 16, 16))
    assert capfd.readouterr().out == ""


def test_without_fusion_nothing_of_the_audio_is_in_the_trunk() -> None:
    trunk = create_backbone("av_slowfast_r50", width=8)
    assert not any("audio" in name or "multipathway_blocks.2" in name for name, _ in trunk.named_parameters())
    with pytest.raises(UsageError, match="build it with fusion=True"):
        trunk(torch.randn(1, 3, 4, 64, 64), torch.randn(1, 1, 16, 16))
    with pytest.raises(UsageError, match=r"call it with \(video, log_mel\)"):
        create_backbone("av_slowfast_r50", width=8, fusion=True)(torch.randn(1, 3, 4, 64, 64))


def test_trunk_and_audio_tower_together_are_parts_of_the_whole_model() -> None:
    model = shake(av_slowfast()).eval()
    trunk, tower = trunk_of(copy.deepcopy(model)), AudioPathway(copy.deepcopy(model)).eval()
    found = model.load_state_dict({**trunk.state_dict(), **tower.state_dict()}, strict=False)
    assert found.unexpected_keys == []
    assert all("block_audio_to_fastslow" in name or name.startswith("blocks.6") for name in found.missing_keys)
    log_mel = torch.randn(1, 1, 24, 32)
    video = torch.randn(1, 3, 8, 64, 64)
    theirs = av_maps(model, slow_frames(video, 4), video, time_first(log_mel))[2]
    with torch.no_grad():
        torch.testing.assert_close(tower.map(log_mel), theirs[:, :, :, 0].mT)
        torch.testing.assert_close(tower(log_mel), theirs.mean(dim=(2, 3, 4)))


def test_a_crop_is_the_same_window_of_both_maps() -> None:
    torch.manual_seed(0)
    slow, fast = torch.randn(2, 3, 2, 4, 4), torch.randn(2, 5, 8, 4, 4)
    boxes = torch.tensor([[[0, 2], [1, 4], [0, 3]], [[1, 2], [0, 4], [0, 4]]])
    tokens = FeatureCrop()([slow, fast], plan_crops(boxes, (2, 4, 4), 2, pathways=[(8, 4, 4)]))
    assert tokens.shape == (2, 2, 2, 8)
    first = torch.cat(
        [slow[:, :, :, 1:4, :3].mean((3, 4)), fast[..., 1:4, :3].mean((3, 4)).unflatten(2, (2, 4)).mean(3)], 1
    )
    torch.testing.assert_close(tokens[0], first.mT)
    late = fast[:, :, 4:].mean((3, 4)).unflatten(2, (2, 2)).mean(3)
    torch.testing.assert_close(tokens[1, :, :, 3:], late.mT)
    with pytest.raises(UsageError, match="gives 2 maps, but the crops are planned for 1"):
        FeatureCrop()([slow, fast], plan_crops(boxes, (2, 4, 4), 2))


@pytest.mark.parametrize("width", [4, 12])
def test_a_width_that_the_fast_pathway_cannot_share_is_refused(width: int) -> None:
    with pytest.raises(UsageError, match=f"multiple of 8, got {width}"):
        create_backbone("slowfast_r50", width=width)


def test_library_model_of_the_table_is_the_one_that_is_registered() -> None:
    assert (
        create_backbone("slowfast_r50", width=8).state_dict().keys()
        <= MODELS["slowfast_r50"].build().state_dict().keys()
    )


def test_a_plan_keeps_its_further_windows_when_it_is_cut_or_moved() -> None:
    boxes = torch.tensor([[[[0, 2], [1, 4], [0, 3]]], [[[0, 1], [0, 4], [2, 3]]]])  # one window for each of two samples
    plan = plan_crops(boxes, (2, 4, 4), 2, pathways=[(8, 4, 4)])
    second = plan.rows(slice(1, 2))
    assert torch.equal(second.pathways[0].time, plan.pathways[0].time[1:])  # exact: copied, not calculated
    assert torch.equal(second.pathways[0].space, plan.pathways[0].space[1:])  # exact: copied, not calculated
    assert plan.to(torch.device("meta")).pathways[0].time.device.type == "meta"
    assert "pathways=(CropPlan(" in repr(plan)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        ([[1, 3], [0, 7], [2, 6]], (16, 7, 7), [[4, 12], [0, 7], [2, 6]]),
        ([[1, 2], [1, 3], [0, 7]], (6, 5, 14), [[1, 3], [0, 3], [0, 14]]),  # not a multiple: widened to whole cells
        ([[0, 4], [0, 7], [0, 7]], (3, 2, 1), [[0, 3], [0, 2], [0, 1]]),
    ],
)
def test_same_window_is_the_same_share_widened_to_whole_cells(box, other, expected) -> None:
    assert same_window(torch.tensor([box]), (4, 7, 7), other).tolist() == [expected]
