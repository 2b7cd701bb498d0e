import pickle
import sys

import pytest

from stica_pv.data.sources.compact_strings import CompactStrings

TEXTS = ["", "a", "ä/ö 漢字.mp4", "not utf-8: \udcff", "", "x" * 300]


def test_texts_come_back_in_every_way_a_list_is_read():
    texts = CompactStrings(TEXTS)
    assert list(texts) == TEXTS
    assert [texts[i] for i in range(-len(TEXTS), len(TEXTS))] == TEXTS * 2
    assert texts[1:-1:2] == TEXTS[1:-1:2]
    assert len(texts) == len(TEXTS)
    assert "a" in texts
    assert texts.index("x" * 300) == 5


@pytest.mark.parametrize("index", [6, -7])
def test_a_place_outside_is_an_index_error(index: int):
    with pytest.raises(IndexError):
        CompactStrings(TEXTS)[index]


def test_equality_is_that_of_the_texts():
    assert CompactStrings(TEXTS) == CompactStrings(iter(TEXTS))
    assert CompactStrings(TEXTS) == tuple(TEXTS)
    assert CompactStrings(["ab", "c"]) != CompactStrings(["a", "bc"])
    assert CompactStrings(["a"]) != ["a", "b"]
    assert CompactStrings([]) == ()


def test_it_is_pickled_and_kept_in_two_blocks():
    texts = CompactStrings(f"class/{i:08}.mp4" for i in range(10_000))
    assert pickle.loads(pickle.dumps(texts)) == texts
    assert texts.size_bytes == 10_000 * (18 + 8)
    assert len(pickle.dumps(texts)) < texts.size_bytes + 1000
    assert texts.size_bytes < sum(map(sys.getsizeof, texts)) / 2


def test_it_shows_the_first_texts():
    assert repr(CompactStrings(["a", "b", "c", "d"])) == "CompactStrings(4: 'a', 'b', 'c', …)"
