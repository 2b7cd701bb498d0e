import csv
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from made_media import SAMPLE_DATA
from numpy.typing import NDArray

from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.sources.groups import check_batches, largest_batch, source_groups
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator

UCF = r"_g(\d+)_"


def epoch_of(groups: NDArray[np.int64], batch_size: int, seed: int = 3, epoch: int = 0) -> NDArray[np.int64]:
    sampler = StepSampler(len(groups), batch_size=batch_size, seed=seed, groups=groups)
    steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
    return np.array([sampler.local_indices(step) for step in steps])


def assert_apart(batches: NDArray[np.int64], groups: NDArray[np.int64], batch_size: int) -> None:
    assert batches.shape == (len(groups) // batch_size, batch_size)
    assert len(np.unique(batches)) == batches.size
    for batch in batches:
        assert len(set(groups[batch])) == batch_size


def test_one_number_in_two_classes_is_two_sources():
    names = [
        "A/v_A_g01_c01.mp4",
        "B/v_B_g01_c01.mp4",
        "A/v_A_g01_c02.mp4",
        "A/v_A_g02_c01.mp4",
        "other.mp4",
        "more.mp4",
    ]
    assert source_groups(names, UCF).tolist() == [0, 1, 0, 2, 3, 4]


def test_a_group_called_source_counts_alone():
    names = [
        "sing/abcdefghijk_000001_000011.mp4",
        "dance/abcdefghijk_000031_000041.mp4",
        "x/other_video_000001_000011.mp4",
    ]
    assert source_groups(names, r"(?P<source>[\w-]{11})_\d{6}_\d{6}").tolist() == [0, 0, 1]
    assert source_groups(names, r"([\w-]{11})_\d{6}_\d{6}").tolist() == [0, 1, 2]


@pytest.mark.parametrize("pattern", [UCF, r"(?:^|/)([\w-]+)_g", r"(?P<source>\w+_g\d+)_"])
def test_members_of_shards_have_the_sources_of_their_files(pattern):
    names = ["A/v_A_g01_c01.mp4", "A/v_A_g01_c02.mp4", "v_A_g01_c03.mp4", "B/v_B_g02_c01.mp4"]
    members = [f"train-00000{k}.tar::{512 * k}+9000::{name}" for k, name in enumerate(names)]
    assert source_groups(members, pattern).tolist() == source_groups(names, pattern).tolist()  # exact: integers
    assert len(set(source_groups(members, pattern).tolist())) < 4


def test_a_group_that_took_no_part_leaves_a_clip_alone():
    assert source_groups(["g1.mp4", "a.mp4", "a.mp4"], r"g(\d)|a").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("_g(", "is no regular expression"),
        (r"_g\d+_", "has no group"),
        ("_q(.)_", r"matches none of the 2 names, e\.g"),
    ],
)
def test_a_wrong_pattern_is_refused(pattern: str, message: str):
    with pytest.raises(UsageError, match=rf"DATA\.GROUP_PATTERN {re.escape(repr(pattern))} {message}"):
        source_groups(["v_g1_a.mp4", "v_g2_a.mp4"], pattern)


@pytest.mark.parametrize("trial", range(60))
def test_no_batch_holds_two_of_a_source_whatever_their_sizes(trial: int):
    rng = np.random.default_rng(trial)
    sizes = rng.integers(1, rng.integers(2, 20), rng.integers(2, 30))
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    batch_size = largest_batch(groups)
    assert_apart(epoch_of(groups, batch_size), groups, batch_size)
    for smaller in range(1, batch_size):
        try:
            check_batches(groups, smaller)
        except UsageError:
            continue
        assert_apart(epoch_of(groups, smaller, epoch=1), groups, smaller)


def test_without_groups_the_order_is_the_plain_permutation():
    sampler = StepSampler(13, batch_size=4, seed=5)
    plain = torch.randperm(13, generator=generator("order", 5, 1))
    assert [i for step in range(3, 6) for i in sampler.local_indices(step)] == plain[:12].tolist()


def test_epochs_and_seeds_differ_and_repeat():
    groups = np.repeat(np.arange(40), 3)
    first = epoch_of(groups, 8)
    assert np.array_equal(first, epoch_of(groups, 8))
    assert not np.array_equal(first, epoch_of(groups, 8, epoch=1))
    assert not np.array_equal(first, epoch_of(groups, 8, seed=4))


def test_processes_share_out_the_batch_of_a_single_one():
    groups = np.repeat(np.arange(40), 3)
    parts = [StepSampler(120, batch_size=8, seed=3, groups=groups, rank=rank, world_size=4) for rank in range(4)]
    whole = epoch_of(groups, 8)
    for step in range(15):
        assert [index for part in parts for index in part.local_indices(step)] == whole[step].tolist()


def test_clips_of_other_sources_meet_about_equally_often():
    groups = np.repeat(np.arange(6), 2)
    joint: Counter[tuple[int, int]] = Counter()
    for epoch in range(300):
        for batch in epoch_of(groups, 3, epoch=epoch):
            joint.update((a, b) for a in batch.tolist() for b in batch.tolist() if a < b)
    pairs = [(a, b) for a in range(12) for b in range(a + 1, 12) if a // 2 != b // 2]
    assert set(joint) == set(pairs)
    mean = sum(joint.values()) / len(pairs)
    assert max(abs(joint[pair] / mean - 1) for pair in pairs) < 0.4


def test_every_clip_of_a_source_with_more_clips_than_batches_has_its_turn():
    groups = np.array([0] * 6 + list(range(1, 18)))  # 23 videos, batches of 4: five, and the source has six
    shown = [epoch_of(groups, 4, epoch=epoch) for epoch in range(40)]
    for batches in shown:
        assert_apart(batches, groups, 4)
    assert set(np.unique(shown)) == set(range(23))


def test_an_impossible_epoch_is_refused_with_numbers_and_a_batch_that_works():
    groups = np.array([0] * 10 + list(range(1, 11)))
    with pytest.raises(
        UsageError, match=r"20 videos of 11 sources cannot fill 5 batches .* 4 with .*largest has 10.*SIZE 2$"
    ):
        StepSampler(20, batch_size=4, seed=0, groups=groups)
    assert_apart(epoch_of(groups, 2), groups, 2)


def test_an_epoch_of_240_000_is_dealt_in_two_seconds():
    groups = np.random.default_rng(0).integers(0, 60_000, 240_000)
    for batch_size in (8, 512):
        sampler = StepSampler(240_000, batch_size=batch_size, seed=1, groups=groups)
        begin = time.process_time()
        sampler.local_indices(0)
        assert time.process_time() - begin < 2.0  # 0.1 s


@pytest.mark.skipif(not (SAMPLE_DATA / "ucf6-av").is_dir(), reason=f"no real sample data at {SAMPLE_DATA}")
@pytest.mark.parametrize("split", ["train", "test"])
def test_real_lists_are_kept_apart(split: str):
    with Path(SAMPLE_DATA / "ucf6-av" / f"{split}.csv").open(newline="") as file:
        names = [row[0] for row in csv.reader(file, delimiter=" ")]
    groups = source_groups(names, UCF)
    truth = [re.sub(r"_c\d+\.mp4$", "", name) for name in names]
    assert len(set(groups.tolist())) == len(set(truth))
    for epoch in range(3):
        batches = epoch_of(groups, 32, epoch=epoch)
        assert_apart(batches, groups, 32)
        for batch in batches:
            assert len({truth[index] for index in batch}) == 32
