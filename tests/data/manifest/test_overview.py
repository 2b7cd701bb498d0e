import pytest

from stica_pv.data.manifest.media_info import MediaInfo, MediaInfoTable
from stica_pv.data.manifest.overview import BINS, MOST_ROWS, count_classes, count_headers, count_ranges, count_values
from stica_pv.data.sources.video_list import VideoList


def test_ranges_hold_every_number_once_the_largest_too():
    found = count_ranges("x", "s", [0.0, 0.1, 6.0, 12.0])
    assert found.counts == (2, *[0] * 5, 1, *[0] * 4, 1)
    assert (found.names[0], found.names[-1], len(found.names)) == ("0 to 1", "11 to 12", BINS)


def test_equal_numbers_are_one_range_and_none_is_none():
    assert count_ranges("x", "s", [2.5] * 3).names == ("2.5",)
    assert count_ranges("x", "s", []).counts == ()


def test_rare_words_stand_together():
    texts = [str(number) for number in range(MOST_ROWS + 5)]
    found = count_values("x", "", [*texts, "0", "0"])
    assert (found.names[0], found.counts[0]) == ("0", 3)
    assert (found.names[-1], found.counts[-1]) == ("5 others", 5)
    assert sum(found.counts) == len(texts) + 2


def test_headers_of_files_that_cannot_be_opened_are_not_counted():
    good = MediaInfo("a.mp4", 2_000_000, 0, 4.0, 4.0, 25.0, 320, 240, "h264", "aac", 44100, 2)
    mute = MediaInfo("b.mp4", 4_000_000, 0, 8.0, 0.0, 12.5, 320, 240, "h264")
    audio = MediaInfo("c.wav", 2_000_000, 0, 0.0, 3.0, 0.0, 0, 0, "", "pcm", 8000, 1)
    broken = MediaInfo("d.mp4", 9_000_000, error="cannot be opened")
    seconds, fps, sizes, files, rates = count_headers(MediaInfoTable([good, mute, audio, broken]))
    assert sum(seconds.counts) == 2  # of those that have frames
    assert dict(zip(fps.names, fps.counts, strict=True)) == {"25.00": 1, "12.50": 1, "none": 1}
    assert dict(zip(sizes.names, sizes.counts, strict=True)) == {"320 × 240": 2, "none": 1}
    assert files.names[-1].endswith("to 4")
    assert dict(zip(rates.names, rates.counts, strict=True)) == {"44100": 1, "no audio": 1, "8000": 1}


@pytest.mark.parametrize(
    ("labels", "tags", "expected"),
    [
        ((1, 1, 0, 1), None, [("b", 3), ("a", 1), ("c", 0)]),
        (None, ((0, 1), (1,), (), (1, 2)), [("b", 3), ("a", 1), ("c", 1)]),
        (None, None, []),
    ],
)
def test_classes_come_by_size_the_empty_ones_too(labels, tags, expected):
    assert count_classes(VideoList(["1", "2", "3", "4"], labels, ("a", "b", "c"), "", tags)) == expected
