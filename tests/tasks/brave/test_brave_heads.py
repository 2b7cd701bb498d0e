import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.tasks.brave.heads import SharedHeads

DIMS = {"narrow": 8, "video": 8, "audio": 5}
SIZES = {"hidden_dim": 7, "out_dim": 4, "predictor_dim": 6}


def features() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {view: torch.randn(6, dim) for view, dim in DIMS.items()}


@pytest.mark.parametrize(
    ("sharing", "names", "users"),
    [
        ("all", ["all"], ["all"] * 4),
        ("per_view", ["video", "narrow", "audio"], ["video", "narrow", "audio", "narrow"]),
        (
            "per_direction",
            ["video_to_narrow", "narrow_to_video", "audio_to_narrow", "narrow_to_audio"],
            ["video_to_narrow", "narrow_to_video", "audio_to_narrow", "narrow_to_audio"],
        ),
    ],
)
def test_every_slot_passes_the_heads_of_its_policy(sharing: str, names: list[str], users: list[str]) -> None:
    heads = SharedHeads(DIMS, sharing=sharing, **SIZES)
    assert heads.slots == ("video", "narrow", "audio", "narrow")
    assert list(heads.projectors) == list(heads.predictors) == names
    received = features()
    z, h = heads(received)
    assert z.shape == h.shape == (4, 6, 4)
    for slot, user, projection, prediction in zip(heads.slots, users, z, h, strict=True):
        expected = heads.projectors[user]([received[slot]])
        assert torch.allclose(projection, expected[0], atol=1e-5)
        assert torch.allclose(prediction, heads.predictors[user](expected)[0], atol=1e-5)


def test_sharing_all_means_one_of_each_but_a_first_layer_for_another_length() -> None:
    heads = SharedHeads(DIMS, **SIZES)
    assert list(heads.projectors["all"].first) == ["5", "8"] or list(heads.projectors["all"].first) == ["8", "5"]
    equal = SharedHeads({"narrow": 8, "audio": 8}, **SIZES)
    assert list(equal.projectors["all"].first) == ["8"]


def test_running_statistics_see_broad_then_narrow() -> None:
    heads = SharedHeads({"narrow": 8, "audio": 8}, **SIZES)
    received = {view: torch.randn(6, 8) for view in ("narrow", "audio")}
    heads(received)
    norm, first = heads.projectors["all"].rest[0], heads.projectors["all"].first["8"]
    means = [first(received[view]).mean(0) for view in ("audio", "narrow")]
    assert torch.allclose(norm.running_mean, 0.9 * 0.1 * means[0] + 0.1 * means[1], atol=1e-6)
    assert norm.num_batches_tracked == 2


def test_the_projector_of_a_view_is_the_one_that_it_passes_first() -> None:
    heads = SharedHeads(DIMS, sharing="per_direction", **SIZES)
    assert heads.projector_of("narrow") is heads.projectors["narrow_to_video"]
    assert heads.projector_of("audio") is heads.projectors["audio_to_narrow"]


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(UsageError, match="BRAVE.HEADS: got 'both'"):
        SharedHeads(DIMS, sharing="both")
