"""The values that travel check themselves."""

import pickle
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import pytest
import torch

from stica_pv.structures import (
    AudioSpec,
    Batch,
    Clip,
    ClipRequest,
    CropPlan,
    LossTerms,
    Movable,
    ReadFailure,
    Views,
    ViewSpec,
    Window,
    describe,
)


def keep(frames: torch.Tensor, size: int, rng: torch.Generator) -> torch.Tensor:
    return frames[..., :size, :size]


def view(**changes: Any) -> ViewSpec:
    settings = {"name": "v", "window": "w", "frames": 8, "fps": 4.0, "size": 16, "transform": keep}
    return ViewSpec(**{**settings, **changes})


def clip(**changes: Any) -> Clip:
    values = {
        "unique_frames": torch.zeros(3, 2, 4, 4, dtype=torch.uint8),
        "frame_times_s": torch.zeros(2, dtype=torch.float64),
        "audio": torch.zeros(10),
        "audio_rate_hz": 16000,
        "video_valid": 1.0,
        "audio_valid": 0.5,
    }
    return Clip(**{**values, **changes})


def batch(**changes: Any) -> Batch:
    values = {
        "video": {"a": torch.zeros(2, 3, 4, 8, 8, dtype=torch.uint8)},
        "audio": {"a": torch.zeros(2, 100)},
        "audio_valid": {"a": torch.ones(2)},
        "index": torch.tensor([5, 6]),
    }
    return Batch(**{**values, **changes})


@pytest.mark.parametrize(("start_s", "seconds"), [(-0.1, 1.0), (0.0, 0.0), (0.0, -1.0)])
def test_impossible_window_is_refused(start_s: float, seconds: float):
    with pytest.raises(ValueError, match="start_s >= 0 and seconds > 0"):
        Window(start_s, seconds)


def test_window_with_an_unknown_end_is_refused():
    with pytest.raises(ValueError, match="at_end: got 'mirror'"):
        Window(0.0, 1.0, "mirror")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "rate_hz", "samples"), [(2.0, 16000, 32000), (2.0 / 3, 44100, 29400), (1.0, None, 0)]
)
def test_audio_of_a_request_is_as_long_as_its_window(seconds: float, rate_hz: int | None, samples: int):
    assert ClipRequest(Window(0.0, seconds), 8, 4.0, rate_hz).audio_samples == samples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unique_frames": torch.zeros(3, 2, 4, 4)}, r"expected uint8 \(C, N, H, W\), got float32\(3, 2, 4, 4\)"),
        ({"unique_frames": torch.zeros(3, 4, 4, dtype=torch.uint8)}, r"got uint8\(3, 4, 4\)"),
        ({"audio": torch.zeros(1, 10)}, r"expected float32 \(S,\), got float32\(1, 10\)"),
        ({"audio": torch.zeros(10, dtype=torch.int16)}, r"got int16\(10,\)"),
    ],
)
def test_clip_of_wrong_shape_or_type_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        clip(**changes)


def test_clip_prints_its_shapes():
    text = "Clip(frames=uint8(3, 2, 4, 4), audio=float32(10,) at 16000 Hz, video_valid=1.00, audio_valid=0.50)"
    assert repr(clip()) == text


def test_values_are_frozen():
    with pytest.raises(FrozenInstanceError):
        clip().video_valid = 0.0  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        view().size = 3  # type: ignore[misc]


@pytest.mark.parametrize("changes", [{"frames": -1}, {"fps": 0.0}, {"size": 0}, {"transform": None}])
def test_view_of_frames_needs_all_that_makes_them(changes: dict[str, Any]):
    with pytest.raises(ValueError, match="view 'v': frames need"):
        view(**changes)


def test_view_of_nothing_is_refused_and_of_audio_alone_is_not():
    with pytest.raises(ValueError, match="neither frames nor audio"):
        view(frames=0, transform=None)
    assert view(frames=0, transform=None, audio=AudioSpec(16000)).audio == AudioSpec(16000)


def test_sample_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        AudioSpec(0)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ((view(), view()), "names must differ"),
        ((view(), view(name="b", frames=4)), "window 'w' differ"),
        ((view(), view(name="b", fps=8.0)), "window 'w' differ"),
        ((view(audio=AudioSpec(8000)), view(name="b", audio=AudioSpec(16000))), "window 'w' differ"),
    ],
)
def test_views_that_contradict_each_other_are_refused(specs: tuple[ViewSpec, ...], message: str):
    with pytest.raises(ValueError, match=message):
        Views(specs, lambda duration, rng: {}, min_seconds=1.0, needs_audio=False)


def test_views_may_share_a_window_at_other_sizes_and_with_audio_alone():
    specs = (
        view(),
        view(name="small", size=8, reversed=True),
        view(name="ear", frames=0, fps=0.0, transform=None, audio=AudioSpec(8000)),
        view(name="elsewhere", window="x", fps=1.0),
    )
    assert Views(specs, lambda duration, rng: {}, min_seconds=1.0, needs_audio=True).specs == specs


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": {"a": torch.zeros(3, 3, 4, 8, 8)}}, r"video\['a'\]: expected 5 axes and B = 2"),
        ({"video": {"a": torch.zeros(2, 3, 8, 8)}}, r"video\['a'\]: expected 5 axes"),
        ({"audio": {"a": torch.zeros(2, 1, 100)}}, r"audio\['a'\]: expected 2 axes"),
        ({"audio_valid": {}}, "audio_valid"),
    ],
)
def test_batch_whose_parts_do_not_fit_is_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        batch(**changes)


def test_batch_prints_its_shapes_and_knows_its_length():
    assert len(batch()) == 2
    text = "Batch(B=2, video[a]=uint8(2, 3, 4, 8, 8), audio[a]=float32(2, 100), failures=0)"
    assert repr(batch()) == text


@pytest.mark.parametrize("label", [None, torch.tensor([1, 0])])
def test_batch_moves_as_a_whole(label: torch.Tensor | None):
    failures = (ReadFailure("x.mp4", "empty"),)
    moved = batch(label=label, failures=failures).to(torch.device("meta"))
    values = [*moved.video.values(), *moved.audio.values(), *moved.audio_valid.values(), moved.index]
    values += [] if moved.label is None else [moved.label]
    assert {value.device.type for value in values} == {"meta"}
    assert (moved.label is None) == (label is None)
    assert moved.failures == failures


def test_batch_comes_through_a_pickle():
    again = pickle.loads(pickle.dumps(batch()))
    assert repr(again) == repr(batch())
    assert torch.equal(again.index, torch.tensor([5, 6]))


@pytest.mark.parametrize("lead", [(), (5,)])
def test_crop_plan_takes_shared_and_own_windows(lead: tuple[int, ...]):
    plan = CropPlan(torch.zeros(*lead, 2, 49), torch.zeros(*lead, 2, 3, 8)).to(torch.device("meta"))
    assert plan.space.device.type == plan.time.device.type == "meta"
    assert "float32" in repr(plan)


@pytest.mark.parametrize(("space", "time"), [((2, 49), (3, 3, 8)), ((2, 49), (2, 8)), ((5, 2, 49), (2, 3, 8))])
def test_crop_plan_of_two_kinds_is_refused(space: tuple[int, ...], time: tuple[int, ...]):
    with pytest.raises(ValueError, match="do not fit"):
        CropPlan(torch.zeros(space), torch.zeros(time))


def test_scalars_of_one_step_are_not_those_of_the_next():
    one, other = LossTerms(torch.tensor(1.0)), LossTerms(torch.tensor(2.0))
    one.scalars["loss"] = one.total
    assert other.scalars == {}


def test_describe_names_type_and_shape():
    assert describe(torch.zeros(3, 16, dtype=torch.bfloat16)) == "bfloat16(3, 16)"


@dataclass(frozen=True)
class Inner(Movable):
    value: torch.Tensor
    name: str = "inner"


@dataclass(frozen=True)
class Outer(Movable):
    one: torch.Tensor
    several: tuple[torch.Tensor, ...]
    by_name: dict[str, Inner]
    none: Inner | None = None


def test_every_tensor_moves_and_other_fields_stay() -> None:
    moved = Outer(torch.ones(2), (torch.ones(1),), {"a": Inner(torch.ones(3), "x")}).to(torch.device("meta"))
    tensors = moved.one, *moved.several, moved.by_name["a"].value
    assert [(one.device.type, tuple(one.shape)) for one in tensors] == [("meta", (2,)), ("meta", (1,)), ("meta", (3,))]
    assert (moved.by_name["a"].name, moved.none, type(moved)) == ("x", None, Outer)
