import pickle
import random
from pathlib import Path

import stica_pv.compat  # noqa: F401 - repairs torchvision for pytorchvideo

import pytest
import torch
from made_media import make_media
from pytorchvideo.data import RandomClipSampler, make_clip_sampler
from pytorchvideo.data.clip_sampling import ClipInfo
from pytorchvideo.data.labeled_video_paths import LabeledVideoPaths

from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.collate import collate
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.manifest.videos import open_videos
from stica_pv.data.sources.pytorchvideo_sources import from_labeled_paths, sampled_clip, sampled_clips
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.structures import AudioSpec, Batch, SampleKey, Views, ViewSpec
from stica_pv.transforms import RandomResizedCrop


def starts(policy, duration_s: float, seeds: range = range(200)) -> list[float]:
    windows = [policy(duration_s, generator("test", seed))["w"] for seed in seeds]
    assert {window.seconds for window in windows} == {2.0}
    return [round(window.start_s, 6) for window in windows]


def test_a_random_sampler_covers_the_video_and_is_a_function_of_the_generator():
    policy = sampled_clip("w", make_clip_sampler("random", 2.0))
    first = starts(policy, 10.0)
    random.seed(1)
    assert starts(policy, 10.0) == first
    assert len(set(first)) == 200
    assert min(first) < 0.3
    assert max(first) > 7.7
    assert max(first) <= 8.0


def test_pythons_own_random_state_is_left_as_it_was():
    random.seed(5)
    expected = random.random()
    random.seed(5)
    starts(sampled_clip("w", RandomClipSampler(2.0)), 10.0)
    assert random.random() == expected


def test_a_window_is_the_clip_that_pytorchvideo_takes_for_the_same_state():
    policy, seeds = sampled_clip("w", RandomClipSampler(2.0)), []
    original = random.seed
    random.seed = lambda seed: (seeds.append(seed), original(seed))[1]  # type: ignore[assignment]
    try:
        found = starts(policy, 10.0, range(1))
    finally:
        random.seed = original
    random.seed(seeds[-1])
    assert found == [round(float(RandomClipSampler(2.0)(0.0, 10.0, {}).clip_start_sec), 6)]


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (("uniform", 2.0), {0.0, 2.0, 4.0, 6.0, 8.0}),
        (("uniform", 2.0, 1.0), {float(i) for i in range(9)}),
        (("constant_clips_per_video", 2.0, 4), {0.0, 2.0, 4.0, 6.0}),
        (("constant_clips_per_video", 2.0, 2, 3), {0.0, 4.0}),
    ],
)
def test_one_of_the_clips_of_a_counting_sampler_is_drawn(sampler: tuple, expected: set[float]):
    made = make_clip_sampler(*sampler)
    made(0.0, 10.0, {})  # stands in the middle of another video
    found = starts(sampled_clip("w", made), 10.0)
    assert set(found) == expected
    assert starts(sampled_clip("w", made), 10.0) == found


def test_a_video_shorter_than_the_clip_gives_a_window_from_its_start():
    for kind in (("random", 2.0), ("uniform", 2.0), ("constant_clips_per_video", 2.0, 3)):
        assert set(starts(sampled_clip("w", make_clip_sampler(*kind)), 1.0, range(9))) == {0.0}


def test_all_clips_of_a_sampler_become_windows_in_its_order():
    policy = sampled_clips(["a", "b", "c"], make_clip_sampler("constant_clips_per_video", 2.0, 3), "loop")
    windows = policy(11.0, generator("any"))
    assert [(name, window.start_s) for name, window in windows.items()] == [("a", 0.0), ("b", 3.0), ("c", 6.0)]
    assert {window.at_end for window in windows.values()} == {"loop"}


def test_a_sampler_of_several_random_clips_repeats_for_a_key():
    policy = sampled_clips(["a", "b"], make_clip_sampler("random_multi", 2.0, 2))
    first, second = (policy(10.0, generator("any")) for _ in range(2))
    assert first == second
    assert first["a"] != first["b"]


def test_another_number_of_clips_than_names_is_refused():
    policy = sampled_clips(["a", "b"], make_clip_sampler("uniform", 2.0))
    with pytest.raises(UsageError, match=r"UniformClipSampler makes 5 clips of a video of 10.00 s, there are 2 names"):
        policy(10.0, generator("any"))


def test_a_sampler_that_draws_elsewhere_is_refused():
    def torch_sampler(last: float, duration: float, annotation: dict) -> ClipInfo:
        start = float(torch.rand(()))
        return ClipInfo(start, start + 1, 0, 0, True)

    with pytest.raises(UsageError, match=r"different clips for the same state of Python's `random`"):
        sampled_clip("w", torch_sampler)


def test_a_sampler_that_never_ends_is_refused():
    with pytest.raises(UsageError, match="more than 10000 clips"):
        sampled_clip("w", lambda last, duration, annotation: ClipInfo(0.0, 1.0, 0, 0, False))


def test_labeled_paths_become_a_list(tmp_path: Path):
    (tmp_path / "train.csv").write_text("b/two.mp4 1\na one.mp4 0\n")
    paths = LabeledVideoPaths.from_csv(str(tmp_path / "train.csv"))
    paths.path_prefix = "/videos"
    found = from_labeled_paths(paths)
    assert list(found.paths) == ["/videos/b/two.mp4", "/videos/a one.mp4"]
    assert list(found.names) == ["b/two.mp4", "a one.mp4"]
    assert list(found.labels or ()) == [1, 0]
    assert found.class_names == ("0", "1")


def test_unknown_labels_give_a_list_without_labels():
    assert from_labeled_paths([("a.mp4", {"label": -1}), ("b.mp4", {})]).labels is None
    assert list(from_labeled_paths([("a.mp4", {"verb": 2})], label_key="verb").labels or ()) == [2]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "are empty"),
        ([("a.mp4", {"label": "cat"})], "a.mp4: expected a class 0, 1, 2, … of at most 99999 under 'label', got 'cat'"),
        ([("a.mp4", {"label": 0}), ("b.mp4", {"label": -1})], "b.mp4 has none under 'label'"),
    ],
)
def test_wrong_labeled_paths_say_what_is_wrong(pairs, message):
    with pytest.raises(UsageError, match=message):
        from_labeled_paths(pairs)


@pytest.mark.parametrize(
    "kind", [("random", 2.0), ("uniform", 2.0), ("constant_clips_per_video", 2.0, 3), ("random_multi", 2.0, 3)]
)
def test_policies_come_through_a_pickle(kind: tuple):
    policy = sampled_clips(["a", "b", "c"], make_clip_sampler(*kind))
    if kind[0] in ("random", "uniform"):
        policy = sampled_clip("a", make_clip_sampler(*kind))
    again = pickle.loads(pickle.dumps(policy))
    for seed in range(5):
        assert again(10.0, generator("test", seed)) == policy(10.0, generator("test", seed))


@pytest.mark.slow  # a spawned worker imports torch anew
def test_a_loader_with_spawned_workers_draws_with_their_sampler(tmp_path: Path):
    for i in range(2):
        make_media(tmp_path / f"{i}.mp4", seconds=2.0)
    spec = ViewSpec("v", "clip", 4, 4.0, 32, RandomResizedCrop(), audio=AudioSpec(16000))
    views = Views((spec,), sampled_clip("clip", make_clip_sampler("random", 1.0)), 1.0, True)
    dataset = ClipDataset([str(tmp_path / f"{i}.mp4") for i in range(2)], [2.0, 2.0], views, reader=read, seed=0)
    keys = [[SampleKey(0, 0), SampleKey(0, 1)]]
    (spawned,) = ClipLoader(dataset, keys, num_workers=1, start_method="spawn")  # type: ignore[arg-type]
    expected = collate([dataset[key] for key in keys[0]])
    assert isinstance(expected, Batch)
    assert torch.equal(spawned.video["v"], expected.video["v"])  # exact: the same code with the same shapes, twice
    assert torch.equal(spawned.audio["v"], expected.audio["v"])  # exact: the same code with the same shapes, twice


def test_our_data_set_reads_their_paths_with_their_sampler(tmp_path: Path):
    for i in range(3):
        make_media(tmp_path / f"{i}.mp4", seconds=2.0)
    listed = from_labeled_paths(LabeledVideoPaths([(str(tmp_path / f"{i}.mp4"), i) for i in range(3)]))
    spec = ViewSpec("v", "clip", 4, 4.0, 32, RandomResizedCrop(), audio=AudioSpec(16000))
    views = Views((spec,), sampled_clip("clip", make_clip_sampler("random", 1.0)), 1.0, True)
    videos = open_videos(listed, manifest=tmp_path / "manifest.csv", min_seconds=1.0, needs_audio=True)
    dataset = ClipDataset(videos.paths, videos.durations_s, views, reader=read, seed=0, labels=videos.labels)
    first, second = (collate([dataset[SampleKey(0, i)] for i in range(3)]) for _ in range(2))
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert first.label is not None
    assert first.label.tolist() == [0, 1, 2]
    assert first.audio["v"].shape == (3, 16000)
    assert torch.equal(first.video["v"], second.video["v"])  # exact: integers
    assert first.audio_valid["v"].tolist() == [1.0] * 3
