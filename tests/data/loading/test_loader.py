import functools
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_clips import FakeReader, two_views

from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import AudioSpec, Batch, SampleKey, Views, ViewSpec, Window
from stica_pv.transforms import RandomResizedCrop

CROP = RandomResizedCrop(area=(0.2, 1.0), aspect=(0.75, 1.33), flip_prob=0.5, antialias=True)


def sample_windows(duration_s: float, rng: torch.Generator) -> dict[str, Window]:
    return {"w": Window(float(torch.rand((), generator=rng)) * (duration_s - 0.5), 0.5)}


VIEWS = Views((ViewSpec("v", "w", 4, 8.0, 16, CROP, audio=AudioSpec(8000)),), sample_windows, 0.5, needs_audio=True)


def real(clips_folder: Path) -> ClipDataset:
    paths = [str(path) for path in sorted(clips_folder.glob("*.mp4"))] + [str(clips_folder / "train.csv")]
    return ClipDataset(paths, [1.5] * len(paths), VIEWS, reader=functools.partial(read, short_size=0), seed=0)


def fake(reader: FakeReader, *, replace: bool = True) -> ClipDataset:
    paths = [f"{i}.mp4" for i in range(8)]
    return ClipDataset(paths, [3.0] * 8, two_views(), reader=reader, seed=0, replace_failures=replace)


def equal(first: Batch, second: Batch) -> bool:
    pairs = [(first.index, second.index), (first.video["v"], second.video["v"]), (first.audio["v"], second.audio["v"])]
    # exact: the same code with the same shapes, twice
    return all(torch.equal(*pair) for pair in pairs) and first.failures == second.failures


def test_any_number_of_workers_gives_the_same_batches(clips_folder: Path):
    dataset = real(clips_folder)  # 18 clips and a file that is none
    runs = [
        list(ClipLoader(dataset, StepSampler(19, batch_size=4, seed=2, end=6), num_workers=workers))
        for workers in (0, 2)
    ]
    assert len(runs[0]) == len(runs[1]) == 6
    assert all(equal(*pair) for pair in zip(*runs, strict=True))  # exact: the same code with the same shapes, twice
    assert {Path(failure.path).name for batch in runs[0] for failure in batch.failures} == {"train.csv"}


def test_shuffled_audio_is_that_of_the_clip_before_and_nothing_else_changes(clips_folder: Path):
    def load(**control: bool) -> Batch:
        sampler = StepSampler(19, batch_size=4, seed=2, end=1)
        return next(iter(ClipLoader(real(clips_folder), sampler, num_workers=0, **control)))

    plain, shuffled = load(), load(shuffle_audio=True)
    assert torch.equal(shuffled.video["v"], plain.video["v"])  # exact: integers
    assert torch.equal(shuffled.index, plain.index)
    for row in range(4):
        assert torch.equal(shuffled.audio["v"][row], plain.audio["v"][row - 1])  # exact: copied, not calculated
        assert shuffled.audio_valid["v"][row] == plain.audio_valid["v"][row - 1]
        assert not torch.equal(shuffled.audio["v"][row], plain.audio["v"][row])


def test_the_loader_knows_its_length():
    assert len(ClipLoader(fake(FakeReader()), StepSampler(8, batch_size=2, seed=0, end=7), num_workers=0)) == 7


@pytest.mark.parametrize("workers", [0, 1])
def test_a_video_without_replacement_surfaces_in_the_main_process(workers: int):
    dataset = fake(FakeReader({"5.mp4": "no key frame"}), replace=False)
    keys = [[SampleKey(0, 1)], [SampleKey(0, 5)], [SampleKey(0, 2)]]
    batches = iter(ClipLoader(dataset, keys, num_workers=workers))  # type: ignore[arg-type]
    assert next(batches).index.tolist() == [1]
    with pytest.raises(UnreadableClip, match=r"5\.mp4: no key frame") as raised:
        next(batches)
    assert (raised.value.path, raised.value.cause) == ("5.mp4", "no key frame")


class Handlers:
    """A reader that returns how a worker handles signals, as the number of frames' value."""

    def __call__(self, path, requests):  # noqa: ANN001, ANN204
        clips = FakeReader()(path, requests)
        ignored = [signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGINT, signal.SIGTERM)]
        if not all(ignored):
            raise UnreadableClip(path, f"ignored: {ignored}")
        return clips


def test_workers_leave_signals_to_the_main_process():
    dataset = fake(Handlers(), replace=False)  # type: ignore[arg-type]
    keys = [[SampleKey(0, 1)]]
    assert len(list(ClipLoader(dataset, keys, num_workers=1))) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", ["", "'2.mp4': 'gone'"])
def test_a_script_that_still_holds_batches_or_a_traceback_of_them_ends(bad: str):
    script = f"""
import sys
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from loading.test_loader import FakeReader, fake
dataset = fake(FakeReader({{{bad}}}), replace=False)
batches = iter(ClipLoader(dataset, StepSampler(8, batch_size=2, seed=0, end=9), num_workers=1))
try:
    print(len(next(batches).index), len(list(batches)))
except Exception as error:
    kept = error
    print("kept")
batches = iter(ClipLoader(dataset, StepSampler(8, batch_size=2, seed=0, end=9), num_workers=1))
print(len(next(batches).index))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "2"
    assert ("kept" in done.stdout) == bool(bad)


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(UsageError, match=r"DATA_LOADER\.NUM_WORKERS"):
        ClipLoader(fake(FakeReader()), StepSampler(8, batch_size=2, seed=0), num_workers=-1)
