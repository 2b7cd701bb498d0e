from pathlib import Path

import pytest
from small_sets import read, write

from stica_pv.errors import UsageError

FOLDER = "FSD50K.ground_truth"
LISTS = {
    f"{FOLDER}/dev.csv": 'fname,labels,mids,split\n64760,"Rain,Water","/m/06mb1,/m/0838f",train\n'
    "16399,Bark,/m/05tny_,val\n",
    f"{FOLDER}/eval.csv": "fname,labels,mids\n37199,Water,/m/0838f\n",
    f"{FOLDER}/vocabulary.csv": "0,Bark,/m/05tny_\n1,Rain,/m/06mb1\n2,Water,/m/0838f\n",
}
MEDIA = ["FSD50K.dev_audio/64760.wav", "FSD50K.dev_audio/16399.wav", "FSD50K.eval_audio/37199.wav"]


@pytest.mark.parametrize(
    ("split", "names", "tags"),
    [
        ("train", MEDIA[:1], ((1, 2),)),
        ("val", MEDIA[1:2], ((0,),)),
        ("dev", MEDIA[:2], ((1, 2), (0,))),
        ("eval", MEDIA[2:], ((2,),)),
    ],
)
def test_recordings_have_several_classes_by_the_vocabulary(
    tmp_path: Path, split: str, names: list[str], tags: tuple[tuple[int, ...], ...]
):
    found = read("fsd50k", write(tmp_path, LISTS, MEDIA), split)
    assert found.names == tuple(names)
    assert (found.tags, found.labels) == (tags, None)
    assert found.class_names == ("Bark", "Rain", "Water")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("dev.csv", "fname,labels,mids,split\n1,Snow,/m/x,train\n", "dev.csv, 1: the class 'Snow' is not among the 3"),
        ("dev.csv", "fname,labels,mids,split\n1,Rain,/m/06mb1,test\n", "expected the split train or val, got 'test'"),
        ("dev.csv", "fname,labels,mids\n1,Rain,/m/06mb1\n", "its first line lacks the column 'split'"),
        ("vocabulary.csv", "index,label,mid\n0,Bark,/m/x\n", "line 1: expected '0,class,id', got 'index,label,mid'"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        read("fsd50k", write(tmp_path, {**LISTS, f"{FOLDER}/{name}": text}, MEDIA), "train")
