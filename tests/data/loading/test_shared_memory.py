import multiprocessing
import os
import sys

import pytest
import torch
from open_files import open_files

from stica_pv.data.loading import shared_memory
from stica_pv.data.loading.shared_memory import Segment, SharedIntegers, dump, load, map_memory


def test_tensors_of_a_segment_travel_as_positions_and_others_by_value():
    segment = Segment(4 * 6 + 5, 2)
    frames, audio = segment.empty((5,), torch.uint8), segment.empty((2, 3), torch.float32)
    frames.copy_(torch.arange(5))
    audio.copy_(torch.arange(6).view(2, 3))
    value = {"frames": frames.flip(0), "view": frames[1:], "audio": audio.T, "number": 3}
    body = dump(value, segment)
    found = load(body, map_memory(segment.file, segment.size))
    assert found["number"] == 3
    # exact: copied, not calculated
    assert all(torch.equal(found[name], value[name]) for name in ("frames", "view", "audio"))
    assert found["audio"].stride() == audio.T.stride()
    frames[1] = 9  # what is shared changes, a copy does not
    assert (int(found["view"][0]), int(found["frames"][3])) == (9, 1)
    segment.close()


def test_what_does_not_fit_is_in_ordinary_memory():
    segment = Segment(4, 0)
    assert segment.holds(segment.empty((4,), torch.uint8))
    assert not segment.holds(segment.empty((1,), torch.uint8))
    segment.close()


def test_memory_stays_as_long_as_a_tensor_of_it_and_no_longer():
    before = open_files()
    segment = Segment(2**20, 1)
    body = dump(segment.empty((2**20,), torch.uint8).fill_(7), segment)
    found = load(body, map_memory(segment.file, segment.size))
    segment.close()
    del segment
    assert int(found.sum(dtype=torch.int64)) == 7 * 2**20
    del found
    assert open_files() == before


def test_a_message_without_its_memory_is_refused():
    segment = Segment(4, 1)
    body = dump(segment.empty((4,), torch.uint8), segment)
    segment.close()
    with pytest.raises(ValueError, match="no memory was sent"):
        load(body, None)


def add(numbers: SharedIntegers) -> None:
    numbers[1] = numbers[1] + 5


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_integers_are_shared_with_started_processes(method: str):
    numbers = SharedIntegers(3, 2)
    process = multiprocessing.get_context(method).Process(target=add, args=(numbers,))  # type: ignore[attr-defined]
    process.start()
    process.join()
    assert [numbers[i] for i in range(3)] == [2, 7, 2]


def test_an_empty_list_has_no_integers():
    with pytest.raises(IndexError):
        SharedIntegers(0, 1)[0]


@pytest.mark.skipif(sys.platform != "linux", reason="memory files are those of Linux")
def test_other_systems_take_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "memfd_create")
    file = shared_memory._create_file(100)
    assert map_memory(file, 100).tolist() == [0] * 100
    assert os.fstat(file).st_nlink == 0
    os.close(file)
