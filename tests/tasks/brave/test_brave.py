from typing import Any

import pytest
import torch
from slow_stica import keys_of
from torch import nn

from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.models import AveragePool, create_audio_resnet9, create_tsm_resnet14
from stica_pv.structures import Batch, LossTerms
from stica_pv.tasks.brave.brave import BraVe
from stica_pv.tasks.brave.config import brave_from_config
from stica_pv.tasks.brave.heads import SharedHeads
from stica_pv.tasks.brave.params import BraveVideo, name_broad
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.transforms import BraveColorSettings, FlowCrop, RandomResizedCrop, create_log_mel, scale_flow

INDICES = (11, 5, 8, 2)
RATE_HZ, WIDTH = 16000, 8
BOTH = ("video", "audio")
COLOR = BraveColorSettings(blur_kernel=5)
NARROW = ClipSettings(4, 8.0, 32, RATE_HZ, RandomResizedCrop())
BROAD = ClipSettings(3, 3.0, 32, RATE_HZ, RandomResizedCrop())


def brave(modalities: tuple[str, ...] = BOTH, sharing: str = "all", **changes: Any) -> BraVe:
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "video": nn.Sequential(create_tsm_resnet14(width=WIDTH), AveragePool(32 * WIDTH)),
        "flow": nn.Sequential(create_tsm_resnet14(width=WIDTH, channels=2), AveragePool(32 * WIDTH)),
        "audio": create_audio_resnet9(width=2),
    }
    views = name_broad(modalities)
    dims = {"narrow": 32 * WIDTH} | {view: 16 if view == "audio" else 32 * WIDTH for view in views}
    parts: dict[str, Any] = {
        "narrow": NARROW,
        "broad": BROAD,
        "video_settings": {"narrow": BraveVideo(COLOR), "video": BraveVideo(COLOR, convolution_prob=1.0)},
        "alignment": "start",
        "backbone": create_tsm_resnet14(width=WIDTH),
        "pool": AveragePool(32 * WIDTH),
        "broad_kinds": modalities,
        "broad_networks": {kind: networks[kind] for kind in dict.fromkeys(modalities)},
        "flow_crop": FlowCrop(RandomResizedCrop()),
        "log_mel": create_log_mel(style="brave", sample_rate_hz=RATE_HZ, bands=16),
        "heads": SharedHeads(dims, sharing=sharing, hidden_dim=12, out_dim=6, predictor_dim=10),
    }
    return BraVe(**(parts | changes))


def batch_for(task: BraVe, indices: tuple[int, ...] = INDICES, valid: float = 1.0) -> Batch:
    rngs = [torch.Generator().manual_seed(index) for index in indices]

    def video_settings(frames: int, size: int, channels: int) -> torch.Tensor:
        shape = (channels, frames, size, size)
        return torch.stack([torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for rng in rngs])

    specs = task.views().specs
    video = {spec.name: video_settings(spec.frames, spec.size, 2 if spec.flow else 3) for spec in specs if spec.frames}
    audio = {
        spec.name: torch.stack([torch.rand(round(task.broad.seconds * RATE_HZ), generator=rng) * 2 - 1 for rng in rngs])
        for spec in specs
        if spec.audio
    }
    shares = {name: torch.tensor([valid] + [1.0] * (len(indices) - 1)) for name in audio}
    return Batch(video, audio, shares, torch.tensor(indices))


def step(task: BraVe, **changes: Any) -> LossTerms:
    terms: LossTerms = task(batch_for(task, **changes), task.sample_params(keys_of(indices=INDICES)))
    return terms


@pytest.mark.parametrize("broad", [("audio",), ("video",), BOTH, ("video", "video", "video"), ("flow", "audio")])
@pytest.mark.parametrize("sharing", ["all", "per_view", "per_direction"])
def test_a_step_begins_near_chance_and_reaches_every_parameter(broad: tuple[str, ...], sharing: str) -> None:
    task = brave(broad, sharing)
    terms = step(task)
    assert terms.total.item() == pytest.approx(1.0, abs=0.45)  # 8 to 16 rows of 6 numbers
    assert task.sizes() == {"terms": 2 * len(broad)}
    terms.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in task.parameters())
    for network in (task.backbone, *(task.get_submodule(f"broad_{kind}") for kind in broad)):
        assert sum(p.grad.abs().sum() for p in network.parameters()) > 0


def slow_cosine_loss(x: torch.Tensor, y: torch.Tensor) -> float:
    return sum(1 - float(a @ b) / (float(a.norm()) * float(b.norm())) for a, b in zip(x, y, strict=True)) / len(x)


def test_the_loss_is_the_mean_over_both_directions_of_every_pair() -> None:
    task = brave()
    rng = torch.Generator().manual_seed(3)
    z, h = torch.randn(2, 4, 5, 6, generator=rng)
    rows = {"projections": z, "predictions": h, "audio_valid": torch.ones(1, 5, 1)}
    terms = task.loss(rows, rows, rank_offset=0)
    # Slots: broad frames, narrow, audio, narrow.
    expected = {
        "loss_video_to_narrow": slow_cosine_loss(h[0], z[1]),
        "loss_narrow_to_video": slow_cosine_loss(h[1], z[0]),
        "loss_audio_to_narrow": slow_cosine_loss(h[2], z[3]),
        "loss_narrow_to_audio": slow_cosine_loss(h[3], z[2]),
    }
    assert {name: terms.scalars[name].item() for name in expected} == pytest.approx(expected, rel=1e-5)
    assert terms.total.item() == pytest.approx(sum(expected.values()) / 4, rel=1e-5)
    to_broad = brave(weights=(0.0, 2.0)).loss(rows, rows, rank_offset=0).total.item()
    assert to_broad == pytest.approx(
        (expected["loss_narrow_to_video"] + expected["loss_narrow_to_audio"]) / 2, rel=1e-5
    )
    uneven = brave(weights=(3.0, 1.0)).loss(rows, rows, rank_offset=0).total.item()
    to_narrow = (expected["loss_video_to_narrow"] + expected["loss_audio_to_narrow"]) / 2
    assert uneven == pytest.approx((3 * to_narrow + to_broad) / 4, rel=1e-5)


def test_perfect_guesses_cost_nothing() -> None:
    z = torch.randn(2, 5, 6)
    rows = {"projections": z, "predictions": z.flip(0)}
    terms = brave(("video",)).loss(rows, rows, rank_offset=0)
    assert terms.total.item() == pytest.approx(0, abs=1e-6)
    assert terms.scalars["accuracy"].item() == 1.0


def test_exchanging_the_two_views_does_not_change_the_loss() -> None:
    z, h = torch.randn(2, 2, 5, 6)
    task = brave(("video",))
    one = task.loss({"projections": z, "predictions": h}, {"projections": z, "predictions": h}, rank_offset=0).total
    swapped = {"projections": z.flip(0), "predictions": h.flip(0)}
    assert task.loss(swapped, swapped, rank_offset=0).total.item() == pytest.approx(one.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "learns", "stays"), [((1.0, 0.0), "broad", "narrow"), ((0.0, 1.0), "narrow", "broad")]
)
def test_no_gradient_reaches_the_view_that_is_guessed(weights: tuple[float, float], learns: str, stays: str) -> None:
    task = brave(("video",), "per_view", weights=weights)
    step(task).total.backward()
    networks = {"narrow": task.backbone, "broad": task.get_submodule("broad_video")}

    def moved(name: str) -> float:
        return float(sum(p.grad.abs().sum() for p in networks[name].parameters() if p.grad is not None))

    assert moved(learns) > 0
    assert moved(stays) == 0


def test_virtual_ranks_average_to_one_process() -> None:
    task = brave().eval()
    params = task.sample_params(keys_of(indices=INDICES))
    rows = task.embed(task.prepare(batch_for(task, valid=0.2), params), params)
    one = task.loss(rows, rows, rank_offset=0)
    parts = [
        task.loss({name: value[:, i : i + 2] for name, value in rows.items()}, rows, rank_offset=i) for i in (0, 2)
    ]
    for name in ("loss", "loss_audio_to_narrow", "loss_narrow_to_video", "accuracy", "audio_share"):
        mean = sum(part.scalars[name].item() for part in parts) / 2
        assert mean == pytest.approx(one.scalars[name].item(), rel=1e-5), name


def test_a_clip_that_is_mostly_silent_counts_for_frames_alone() -> None:
    task = brave().eval()
    params = task.sample_params(keys_of(indices=INDICES))
    rows = task.embed(task.prepare(batch_for(task, valid=0.2), params), params)
    all_rows = task.loss(rows, rows, rank_offset=0)
    kept = {name: value[:, 1:] for name, value in rows.items()}
    others = task.loss(kept, kept, rank_offset=0)
    assert all_rows.scalars["audio_share"].item() == 0.75
    assert all_rows.scalars["loss_audio_to_narrow"].item() == pytest.approx(
        others.scalars["loss_audio_to_narrow"].item()
    )
    assert all_rows.scalars["loss_video_to_narrow"].item() != pytest.approx(
        others.scalars["loss_video_to_narrow"].item()
    )


def test_the_narrow_window_has_no_audio_and_the_broad_one_what_is_asked() -> None:
    views = {broad: brave(broad).views() for broad in (("audio",), ("video",), BOTH)}
    for broad, found in views.items():
        narrow, *wide = found.specs
        assert (narrow.frames, narrow.fps, narrow.audio) == (4, 8.0, None)
        assert [(spec.name, spec.window) for spec in wide] == [(kind, "broad") for kind in broad]
        assert [(spec.frames > 0, spec.audio is not None) for spec in wide] == [
            (kind == "video", kind == "audio") for kind in broad
        ]
        assert found.needs_audio == ("audio" in broad)
        windows = found.sample_windows(9.0, torch.Generator().manual_seed(0))
        assert (windows["narrow"].seconds, windows["broad"].seconds) == (0.5, 1.0)


def test_views_are_colored_apart_and_only_broad_frames_are_convolved() -> None:
    task = brave()
    params = task.sample_params(keys_of(indices=INDICES))
    assert not torch.equal(params.color["narrow"].values, params.color["video"].values)
    assert list(params.convolution) == ["video"]
    inputs = task.prepare(batch_for(task), params)
    assert 0 <= inputs["narrow"].min() <= inputs["narrow"].max() <= 1
    assert inputs["video"].min() < 0
    again = task.sample_params(keys_of(indices=INDICES, step=8))
    # exact: equal generators give equal values
    assert torch.equal(params.convolution["video"].kernels, again.convolution["video"].kernels)


def test_flow_has_a_network_of_two_channels_and_only_its_scale_is_changed() -> None:
    task = brave(("flow",))
    spec = task.views().specs[1]
    assert (spec.name, spec.window, spec.flow, spec.frames) == ("flow", "broad", True, BROAD.frames)
    assert spec.transform is task.flow_crop
    assert task.get_submodule("broad_flow")[0].stem.conv.in_channels == 2
    batch = batch_for(task)
    params = task.sample_params(keys_of(indices=INDICES))
    assert (list(params.color), params.convolution) == (["narrow"], {})
    # exact: the same code with the same shapes, twice
    assert torch.equal(task.prepare(batch, params)["flow"], scale_flow(batch.video["flow"]))


def test_several_broad_views_of_frames_share_window_and_network_and_nothing_that_is_drawn() -> None:
    task = brave(("video", "video", "audio"))
    _, first, second, audio = task.views().specs
    assert [spec.name for spec in (first, second, audio)] == ["video", "video_2", "audio"]
    assert first.window == second.window == audio.window
    params = task.sample_params(keys_of(indices=INDICES))
    assert not torch.equal(params.color["video"].values, params.color["video_2"].values)
    assert not torch.equal(params.convolution["video"].kernels, params.convolution["video_2"].kernels)
    assert [name for name, _ in task.named_children() if name.startswith("broad")] == ["broad_video", "broad_audio"]
    terms = task(batch_for(task), params)
    assert {"loss_video_to_narrow", "loss_video_2_to_narrow", "loss_narrow_to_video_2"} <= terms.scalars.keys()
    passes = [
        trunk.last.bn.num_batches_tracked.item() for trunk in (task.backbone, task.get_submodule("broad_video")[0])
    ]
    assert passes == [1, 2]


def test_without_a_network_of_their_own_broad_frames_pass_that_of_the_narrow_view() -> None:
    task = brave(("video",), broad_networks={})
    params = task.sample_params(keys_of(indices=INDICES))
    step(task).total.backward()
    assert task.backbone.last.bn.num_batches_tracked == 2  # each view by its own statistics
    inputs = task.eval().prepare(batch_for(task), params)
    same = task.embed(inputs | {"video": inputs["narrow"]}, params)["projections"]
    assert torch.allclose(same[0], same[1], atol=1e-6)


def test_predictors_are_a_group_of_their_own_and_nothing_is_left_out() -> None:
    task = brave(sharing="per_view")
    others, predictors = task.parameter_groups()
    assert (others.lr_scale, predictors.lr_scale) == (1.0, 10.0)
    assert {id(p) for p in predictors.parameters} == {id(p) for n, p in task.named_parameters() if "predictor" in n}
    assert len(others.parameters) + len(predictors.parameters) == len(list(task.parameters()))


def test_encoders_give_vectors_and_projections() -> None:
    task = brave(sharing="per_direction").eval()
    encoders = task.encoders()
    batch = batch_for(task)
    assert encoders["video"](batch.video["narrow"]).shape == (4, 32 * WIDTH)
    assert encoders["video"](batch.video["narrow"], "projected").shape == (4, 6)
    assert encoders["audio"](batch.audio["audio"], "projected").shape == (4, 6)
    assert list(brave(("video",)).encoders()) == ["video"]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(UsageError, match="BRAVE.WEIGHTS"):
        brave(weights=(0.0, 0.0))
    for wrong in ((), ("audio", "audio"), ("flow", "flow"), ("video", "speech")):
        with pytest.raises(
            UsageError, match=r"BRAVE.BROAD: expected video \(once or several times\), flow, audio, got"
        ):
            brave(broad_kinds=wrong)
    silent = ClipSettings(3, 3.0, 32, RATE_HZ, RandomResizedCrop(), silence_allowed=True)
    with pytest.raises(UsageError, match="MISSING_AUDIO silence"):
        brave(("audio",), broad=silent)
    assert not brave(broad=silent).views().needs_audio
    with pytest.raises(UsageError, match="HEAD.DROPOUT to 0"):
        brave_from_config(get_cfg())


def test_audio_is_made_louder_or_softer_and_frames_are_normalised_at_the_end() -> None:
    task = brave(volume_jitter=0.5)
    params, batch = task.sample_params(keys_of(indices=INDICES)), batch_for(task)
    inputs = task.prepare(batch, params)
    assert params.volume.std() > 0.05
    # exact: the same code with the same shapes, twice
    assert torch.equal(inputs["audio"], task.log_mel(batch.audio["audio"] * params.volume.unsqueeze(1)))
    moved = {
        view: BraveVideo(COLOR, 1.0 if view == "video" else 0.0, (0.5,) * 3, (2.0,) * 3) for view in task.video_settings
    }
    normalized = brave(video_settings=moved).prepare(batch, params)
    for view in ("narrow", "video"):
        assert torch.allclose(normalized[view], (inputs[view] - 0.5) / 2, atol=1e-6)
