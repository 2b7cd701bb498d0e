"""The map: which clips are on it, where they lie, and that a point shows its own frame."""

import json
import re

import pytest
import torch

from stica_pv.report import embedding_map
from stica_pv.report.embedding_map import CLASSES, POINTS, _appearance, chosen_for_map, map_of, planes_of


class NamedThumbnails:
    """Frames without files; the name of an item holds what a page must not believe."""

    def get(self, item: int, kind: str) -> str | None:
        return None if item == 3 else f"{item}-{kind}"

    def name(self, item: int) -> str:
        return f"<b>{item}</b>.mp4"

    def label(self, item: int) -> str:
        return f"class {item % 3}"


def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows (30, 6) around three directions, the classes in turn."""
    labels = torch.arange(30) % 3
    return torch.eye(3, 6)[labels] + 0.05 * torch.randn(30, 6, generator=torch.Generator().manual_seed(0)), labels


@pytest.mark.slow
def test_both_projections_keep_clusters_apart_and_repeat_themselves():
    rows, labels = clusters()
    planes = planes_of(rows)
    assert list(planes) == ["PCA", "t-SNE"]
    again = planes_of(rows)
    for how, plane in planes.items():
        assert (plane == again[how]).all()  # exact: the same code with the same shapes, twice
        centers = [plane[labels == label].mean(axis=0) for label in range(3)]
        nearest = [min(range(3), key=lambda c, point=point: ((point - centers[c]) ** 2).sum()) for point in plane]
        assert nearest == labels.tolist(), how


@pytest.fixture
def _planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Projections of a moment: the first two columns."""
    monkeypatch.setattr(embedding_map, "planes_of", lambda rows: {"PCA": rows[:, :2].double().numpy()})


@pytest.mark.usefixtures("_planes")
def test_every_point_carries_the_frame_and_name_of_its_own_clip():
    rows, labels = clusters()
    html = map_of([("trained", rows)], torch.arange(30), labels, NamedThumbnails())
    assert "<b>" not in html
    listed = re.search(r'class="spots">(.*?)</script>', html)
    assert listed is not None
    spots = json.loads(listed[1])
    assert spots[4] == ["4-still", "class 1: <b>4</b>.mp4"]
    assert spots[3] == [None, "class 0: <b>3</b>.mp4"]
    found = re.findall(r'data-spot="(\d+)".*?fill: var\(--series-(\d)\)', html)
    assert [int(color) for _, color in found] == labels.tolist()
    assert [int(number) for number, _ in found] == list(range(30))


@pytest.mark.usefixtures("_planes")
def test_points_of_the_map_lie_where_their_rows_were_projected():
    rows, labels = clusters()
    html = map_of([("trained", rows)], torch.arange(30), labels, NamedThumbnails())
    positions = re.findall(r'data-spot="\d+" transform="translate\(([\d.]+) ([\d.]+)\)', html)
    shown = torch.tensor([(float(x), -float(y)) for x, y in positions], dtype=torch.float64)  # down the page is up
    plane = rows[:, :2].double()
    for axis in range(2):
        pair = torch.stack([plane[:, axis], shown[:, axis]])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.9999


def test_a_large_set_gives_the_largest_classes_and_every_one_of_them():
    labels = torch.cat([torch.full((40 - label,), label) for label in range(40)])
    rows = chosen_for_map(labels)
    assert len(rows) == POINTS == len(rows.unique())
    assert set(labels[rows].tolist()) == set(range(CLASSES))
    assert torch.equal(chosen_for_map(torch.tensor([2, 0, 2])), torch.arange(3))


def test_no_two_classes_of_a_map_look_alike():
    assert len({_appearance(number) for number in range(CLASSES)}) == CLASSES
