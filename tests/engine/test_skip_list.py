from pathlib import Path

import pytest
from made_clips import FakeReader, two_views

from stica_pv.data.isolation.worker_process import TIMED_OUT
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.bad_files import BadFiles
from stica_pv.engine.skip_list import SkipList
from stica_pv.structures import ReadFailure, SampleKey


@pytest.mark.parametrize(("cause", "tried_again"), [(f"{TIMED_OUT} 0.5 s", False), ("no key frame", True)])
def test_a_file_that_hung_in_another_process_is_not_tried_from_the_next_epoch_on(
    tmp_path: Path, cause: str, tried_again: bool
) -> None:
    reader = FakeReader({"5.mp4": cause})
    dataset = ClipDataset([f"{i}.mp4" for i in range(8)], [3.0] * 8, two_views(), reader=reader, seed=0)
    skip_list = SkipList(tmp_path / "bad_files.csv", dataset, StepSampler(8, batch_size=2, seed=0))
    skip_list.update()
    elsewhere = BadFiles(tmp_path / "bad_files.csv", 8, 1.0)
    elsewhere.begin(())
    elsewhere.report(1, [ReadFailure("5.mp4", cause)])
    for step in range(1, 4):
        skip_list.after_step(step)
    assert int(dataset._skip_from[5]) > 1
    skip_list.after_step(4)
    before = dataset[SampleKey(1, 5)]
    assert ("5.mp4" in [path for path, _ in reader.calls]) == tried_again
    skip_list.after_step(8)  # nothing new
    again = dataset[SampleKey(2, 5)]
    assert before.failures[0].path == again.failures[0].path == "5.mp4"
