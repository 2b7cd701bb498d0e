"""Writes small data sets: lists as published, and empty files where the media would lie."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from made_media import SAMPLE_DATA

from stica_pv.data.sources.official import OfficialSet
from stica_pv.data.sources.official.official_set import Listing
from stica_pv.data.sources.video_list import VideoList
from stica_pv.registry import SOURCES

ANNOTATIONS = SAMPLE_DATA / "annotations"

needs_annotations = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason="the published lists are not here")


def write(root: Path, lists: Mapping[str, str], media: Iterable[str] = ()) -> Path:
    """Write texts by name and touch media files; return the folder."""
    for name, text in lists.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in media:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def official(name: str) -> OfficialSet:
    source = SOURCES.get(name)
    assert isinstance(source, OfficialSet)
    return source


def listing(name: str, root: Path, split: str) -> Listing:
    return official(name).parse(str(root), split)


def read(name: str, root: Path, split: str, **settings: object) -> VideoList:
    found = SOURCES.build(name, path=str(root), split=split, **settings)
    assert isinstance(found, VideoList)
    return found


def labeled_names(videos: VideoList) -> dict[str, str]:
    """Return the class of each file by name."""
    assert videos.labels is not None
    return {name: videos.class_names[label] for name, label in zip(videos.names, videos.labels, strict=True)}
