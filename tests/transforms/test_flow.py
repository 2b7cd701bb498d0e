import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.transforms import FlowCrop, RandomResizedCrop, RandomShortSideCrop, scale_flow

FLOW = torch.randint(0, 256, (2, 3, 40, 56), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("kind", [RandomResizedCrop, RandomShortSideCrop])
def test_a_mirrored_clip_moves_the_other_way_within_the_crop_of_frames(kind: type) -> None:
    for flip_prob in (0.0, 1.0):
        crop = kind(flip_prob=flip_prob)
        frames, flow = crop(FLOW, 24, rng()), FlowCrop(crop)(FLOW, 24, rng())
        assert flow.shape == (2, 3, 24, 24)
        assert torch.equal(flow[1], frames[1])  # exact: integers
        assert torch.equal(flow[0], 255 - frames[0] if flip_prob else frames[0])  # exact: integers


def test_scaled_flow_lies_around_no_motion_and_a_mirror_negates_it() -> None:
    scaled = scale_flow(FLOW)
    assert (scaled.dtype, scaled.min().item(), scaled.max().item()) == (torch.float32, -1.0, 1.0)
    assert torch.equal(scale_flow(255 - FLOW), -scaled)  # exact: the same steps with the other sign
    last = FLOW[None].contiguous(memory_format=torch.channels_last_3d)
    assert not last.is_contiguous()
    assert scale_flow(last).is_contiguous()


def test_frames_are_no_flow() -> None:
    with pytest.raises(UsageError, match=r"expected optical flow, uint8 \(2, T, H, W\), got uint8\(3, 3, 8, 8\)"):
        FlowCrop(RandomResizedCrop())(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), 8, rng())
