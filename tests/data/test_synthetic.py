"""The generated clips: the same every time; only motion and audio over time give their class."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from stica_pv.data.synthetic import (
    CLASSES,
    SyntheticSettings,
    render_clip,
    render_plan,
    sample_plan,
)
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator

Array = np.ndarray[Any, Any]
SMALL = SyntheticSettings(size=32, fps=8)
TINY = SyntheticSettings(size=16, fps=4)
CHANCE = 1 / len(CLASSES)
CLIPS_PER_CLASS = 40


def rendered(settings: SyntheticSettings, label: int, number: int = 0) -> tuple[Array, Array]:
    """Return clip `number` of a class."""
    return render_clip(label, generator("test", label, number), settings)


def many(settings: SyntheticSettings) -> tuple[Array, Array]:
    """Return frames (N, T, H, W, 3) in 0 to 1 and classes (N,), the classes in turn."""
    labels = np.arange(CLIPS_PER_CLASS * len(settings.classes)) % len(settings.classes)
    clips = [rendered(settings, int(label), number)[0] for number, label in enumerate(labels)]
    return np.stack(clips).astype(np.float32) / 255, labels


def nearest_centroid(features: Array, labels: Array) -> float:
    """Return the accuracy on the second half of class means taken from the first half."""
    half = len(labels) // 2
    means = np.stack([features[:half][labels[:half] == label].mean(0) for label in range(labels.max() + 1)])
    distance = ((features[half:, None] - means[None]) ** 2).sum(2)
    return float((distance.argmin(1) == labels[half:]).mean())


def single_frame_scores(settings: SyntheticSettings) -> dict[str, float]:
    """Return what one frame, its colors and the mean frame reveal about the class."""
    clips, labels = many(settings)
    middle = clips[:, clips.shape[1] // 2]
    count = len(labels)
    bins = (middle.reshape(count, -1, 3) * 7.99).astype(int)
    colors = np.stack([np.bincount(clip[:, c], minlength=8) for clip in bins for c in range(3)])
    return {
        "frame": nearest_centroid(middle.reshape(count, -1), labels),
        "colors": nearest_centroid(colors.reshape(count, -1).astype(np.float32) / TINY.size**2, labels),
        "mean frame": nearest_centroid(clips.mean(1).reshape(count, -1), labels),
    }


def motion(frames: Array) -> Array:
    """Return the mean absolute change between neighboring frames, (T - 1,)."""
    changes: Array = np.abs(np.diff(frames.astype(np.float64), axis=0)).mean((1, 2, 3))
    return changes


def loudness(audio: Array, steps: int) -> Array:
    """Return the root mean square of the audio in equal steps, (steps,)."""
    powers: Array = (audio[: len(audio) // steps * steps].reshape(steps, -1).astype(np.float64) ** 2).mean(1)
    return np.sqrt(powers)


def quiet(**changes: Any) -> SyntheticSettings:
    """Return settings without noise in frame and audio."""
    silent: dict[str, Any] = {"image_noise": (0.0, 0.0), "audio_noise_db": (-90.0, -90.0)}
    return dataclasses.replace(SMALL, **(silent | changes))


def test_clip_depends_on_key_and_class_alone() -> None:
    first, again, other = rendered(SMALL, 3), rendered(SMALL, 3), rendered(SMALL, 3, number=1)
    for part in range(2):
        assert (first[part] == again[part]).all()  # exact: the same code with the same shapes, twice
        assert not (first[part] == other[part]).all()


def test_clip_has_the_shapes_and_ranges_it_promises() -> None:
    frames, audio = rendered(SMALL, 0)
    assert frames.shape == (16, 32, 32, 3)
    assert frames.dtype == np.uint8
    assert audio.shape == (32000,)
    assert audio.dtype == np.float32
    assert 0.05 < np.abs(audio).max() <= 1


def test_one_frame_its_colors_and_the_mean_frame_stay_near_chance() -> None:
    scores = single_frame_scores(TINY)
    assert max(scores.values()) < CHANCE + 0.1, scores  # 160 queries: four standard errors


def test_leak_gives_the_class_away_in_one_frame() -> None:
    assert single_frame_scores(dataclasses.replace(TINY, leak=1.0))["colors"] > 0.8


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_frames_move_while_there_is_audio_and_rest_in_silence(label: int) -> None:
    settings = quiet(fps=24, event_seconds=(0.5, 0.6), timing_jitter=1.0)
    plan = sample_plan(label, generator("synchrony", label), settings)
    frames, audio = render_plan(plan, settings)
    changes, level = motion(frames), loudness(audio, settings.frames)
    times = (np.arange(settings.frames) + 0.5) / settings.fps
    inside, near_edge = np.zeros((2, settings.frames), bool)
    for event in plan.events:
        inside |= (times > event.start_s) & (times < event.stop_s)
        near_edge |= np.minimum(abs(times - event.start_s), abs(times - event.stop_s)) < 0.08
    assert plan.events == plan.audio_events
    assert (changes[(inside & ~near_edge)[1:]] > 0.2).all()
    assert (changes[(~inside & ~near_edge)[1:]] < 0.01).all()
    assert (level[~inside & ~near_edge] < 1e-3).all()
    assert np.mean(level[inside & ~near_edge] > 1e-2) > 0.75  # swells begin from nothing


def test_objects_of_up_and_down_go_opposite_ways() -> None:
    settings = quiet(objects=1, classes=(("up",), ("down",)), seconds=1.0, growth=(0.0, 0.0))
    for label, sign in ((0, -1), (1, 1)):
        plan = sample_plan(label, generator("way", label), settings)
        plan = dataclasses.replace(plan, objects=(dataclasses.replace(plan.objects[0], start=(0.5, 0.5, 0.5)),))
        frames = render_plan(plan, settings)[0].astype(np.float64)
        bright = np.clip(frames.mean(3) - 80, 0, None)
        height = (bright * np.arange(32)[None, :, None]).sum((1, 2)) / bright.sum((1, 2))
        assert sign * (height[-1] - height[0]) > 5


def test_order_alone_separates_mirrored_classes() -> None:
    assert {tuple(reversed(events)) for events in CLASSES} == set(CLASSES)
    for position in range(2):
        events = [events[position] for events in CLASSES]
        assert all(events.count(event) == 2 for event in set(events))


def test_agreement_decides_whether_audio_follows_the_frame() -> None:
    def share(agreement: float) -> float:
        settings = dataclasses.replace(SMALL, agreement=agreement)
        plans = [sample_plan(0, generator("agreement", i), settings) for i in range(200)]
        return float(np.mean([[e.name for e in p.audio_events] == [e.name for e in p.events] for p in plans]))

    assert share(1.0) == 1
    assert 0.4 < share(0.5) < 0.75
    assert share(0.0) < 0.25


@pytest.mark.parametrize(
    ("changes", "attribute"),
    [({"position_range": 0.0}, "position"), ({"scale_range": 0.0}, "scale"), ({"timing_jitter": 0.0}, "timing")],
)
def test_range_of_zero_takes_the_variation_away(changes: dict[str, Any], attribute: str) -> None:
    def spread(settings: SyntheticSettings) -> float:
        plans = [sample_plan(0, generator("spread", i), settings) for i in range(20)]
        values = {
            "position": [plan.objects[0].start[0] for plan in plans],
            "scale": [plan.objects[0].start[2] for plan in plans],
            "timing": [plan.events[0].start_s + plan.events[0].stop_s for plan in plans],
        }[attribute]
        return float(np.std(np.asarray(values)))

    assert spread(quiet(event_seconds=(0.5, 0.5))) > 0.02
    assert spread(quiet(event_seconds=(0.5, 0.5), **changes)) < 1e-9


@pytest.mark.parametrize(
    "changes",
    [{"image_noise": (20.0, 20.0)}, {"clutter": 1.0}, {"speed": (0.1, 0.1)}, {"radius": (0.05, 0.1)}, {"objects": 1}],
)
def test_knob_of_the_frame_changes_it(changes: dict[str, Any]) -> None:
    plain = quiet()
    changed = dataclasses.replace(plain, **changes)
    assert not (rendered(plain, 0)[0] == rendered(changed, 0)[0]).all()


def test_loudness_and_noise_of_the_audio_follow_their_knobs() -> None:
    loud, soft = (rendered(quiet(loudness_db=(level, level)), 0)[1] for level in (-6.0, -26.0))
    np.testing.assert_allclose(soft, 0.1 * loud, atol=1e-6)
    rest = slice(0, round(0.05 * SMALL.audio_rate_hz))  # no event has begun
    noisy = rendered(quiet(audio_noise_db=(0.0, 0.0)), 0)[1]
    assert np.abs(loud[rest]).max() < 1e-3
    assert noisy[rest].std() > 0.05


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"classes": (("up", "left"), ("down", "up"))}, "classes"),
        ({"classes": (("up",), ("up", "down"))}, "equally many"),
        ({"leak": 1.5}, "leak"),
        ({"size": 33}, "even"),
        ({"radius": (0.1, 0.6)}, "radius"),
        ({"event_seconds": (0.5, 1.5)}, "does not fit"),
    ],
)
def test_impossible_setting_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        dataclasses.replace(SMALL, **changes)


def test_unknown_class_is_refused() -> None:
    with pytest.raises(UsageError, match="label"):
        sample_plan(8, generator("label"), SMALL)
