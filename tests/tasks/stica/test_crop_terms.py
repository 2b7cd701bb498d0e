import re

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.tasks.stica.crop_terms import Crop, CropSettings, CropTable, _warn_once, cells_of

Term = tuple[Crop, Crop, float]


def symmetric(a: Crop, b: Crop) -> set[Term]:
    return {(a, b, 0.5), (b, a, 0.5)}


def released(kind: str, large: int, small: int) -> set[Term]:
    """The pairs of the published script, views and windows counted from 0."""
    terms = symmetric(Crop(1, kind, True, 1), Crop(0, kind, True, 1)) if large == 2 else set()
    return terms | {(Crop(1, kind, False, j), Crop(0, kind, True, i), 1.0) for i in range(large) for j in range(small)}


def intended(kind: str, large: int, small: int) -> set[Term]:
    """Every large of view 1 with every large of view 2; every small with every large of the other view."""
    terms: set[Term] = set()
    for i in range(large):
        for k in range(large):
            terms |= symmetric(Crop(0, kind, True, i), Crop(1, kind, True, k))
        for j in range(small):
            terms.add((Crop(1, kind, False, j), Crop(0, kind, True, i), 1.0))
            terms.add((Crop(0, kind, False, j), Crop(1, kind, True, i), 1.0))
    return terms


@pytest.mark.parametrize("counts", [(2, 4, 0, 0), (1, 0, 0, 0), (2, 4, 2, 1), (0, 0, 2, 3), (1, 3, 1, 1), (0, 0, 0, 0)])
@pytest.mark.parametrize(("pairing", "definition"), [("all", intended), ("released", released)])
def test_terms_are_those_of_the_definition(counts, pairing: str, definition) -> None:
    space_large, space_small, time_large, time_small = counts
    terms = CropSettings(*counts, pairing=pairing).terms()
    expected = definition("space", space_large, space_small) | definition("time", time_large, time_small)
    assert len(terms) == len(expected)
    assert set(terms) == expected


@pytest.mark.parametrize(
    ("counts", "pairing", "directed", "weight"),
    [
        ((2, 4, 0, 0), "all", 8 + 16, 4 + 16),
        ((2, 4, 2, 1), "all", 24 + 8 + 4, 20 + 4 + 4),
        ((2, 4, 0, 0), "released", 2 + 8, 1 + 8),
        ((2, 4, 2, 1), "released", 10 + 2 + 2, 9 + 1 + 2),  # 12 terms, as in the paper's larger setting
        ((1, 4, 0, 0), "released", 4, 4),
        ((1, 0, 0, 0), "released", 0, 0),
        ((1, 0, 0, 0), "all", 2, 1),
    ],
)
def test_number_of_terms(counts, pairing: str, directed: int, weight: float) -> None:
    table = CropTable(CropSettings(*counts, pairing=pairing))
    assert len(table.terms) == directed
    assert sum(table.terms.weights) == weight


def test_released_two_plus_four_uses_seven_windows() -> None:
    first, second = CropTable(CropSettings(2, 4, pairing="released")).crops
    assert first == (Crop(0, "space", True, 0), Crop(0, "space", True, 1))
    assert second == (Crop(1, "space", True, 1), *(Crop(1, "space", False, j) for j in range(4)))


def test_released_single_large_crop_without_small_ones_draws_nothing() -> None:
    assert CropTable(CropSettings(1, 0, pairing="released")).crops == ((), ())


@pytest.mark.parametrize("pairing", ["all", "released"])
@pytest.mark.parametrize("counts", [(2, 4, 2, 1), (1, 2, 0, 0), (0, 0, 0, 0)])
def test_only_windows_that_a_term_uses_are_drawn(pairing: str, counts) -> None:
    table = CropTable(CropSettings(*counts, pairing=pairing))
    placed = [None, *table.crops[0], None, *table.crops[1]]
    assert [position for position, crop in enumerate(placed) if crop is None] == list(range(len(placed)))[table.whole]
    used = {placed[position] for position in (*table.terms.queries, *table.terms.keys)}
    assert used == {crop for crop in placed if crop is not None}


@pytest.mark.parametrize("pairing", ["all", "released"])
def test_places_of_the_table_name_the_windows_of_the_terms(pairing: str) -> None:
    settings = CropSettings(2, 3, 1, 2, pairing=pairing)
    table = CropTable(settings)
    placed = [None, *table.crops[0], None, *table.crops[1]]
    read = [
        (placed[query], placed[key], weight)
        for query, key, weight in zip(table.terms.queries, table.terms.keys, table.terms.weights, strict=True)
    ]
    assert read == settings.terms()
    assert list(table.is_space) == [query.kind == "space" for query, _, _ in read]
    assert all(query.view != key.view and query.kind == key.kind for query, key, _ in read)


@pytest.mark.parametrize("sizes", [(6 / 7, 4 / 7), (0.857, 0.571)])
def test_spatial_windows_have_6_and_4_of_7_cells_and_full_time(sizes: tuple[float, float]) -> None:
    settings = CropSettings(space_sizes=sizes)
    assert settings.window("space", True, (8, 7, 7)) == (8, 6, 6)
    assert settings.window("space", False, (8, 7, 7)) == (8, 4, 4)
    assert settings.window("space", False, (4, 1, 1)) == (4, 1, 1)


@pytest.mark.parametrize(("steps", "large", "small"), [(4, 3, 2), (8, 6, 4), (12, 6, 4), (15, 6, 4), (1, 1, 1)])
def test_temporal_windows_have_the_papers_lengths_and_full_space(steps: int, large: int, small: int) -> None:
    settings = CropSettings()
    assert settings.window("time", True, (steps, 7, 5)) == (large, 7, 5)
    assert settings.window("time", False, (steps, 7, 5)) == (small, 7, 5)


def test_temporal_cap_is_a_setting() -> None:
    assert CropSettings(time_cap=16).window("time", True, (12, 7, 7)) == (9, 7, 7)


@pytest.mark.parametrize("view", [0, 1])
def test_drawn_windows_begin_with_the_whole_map_and_have_the_sizes_of_the_table(view: int) -> None:
    settings, shape = CropSettings(2, 4, 2, 1), (8, 7, 7)
    table = CropTable(settings)
    boxes = table.sample(view, shape, generator("draw", view))
    assert boxes[0].tolist() == [[0, 8], [0, 7], [0, 7]]
    sizes = (boxes[1:, :, 1] - boxes[1:, :, 0]).tolist()
    assert sizes == [list(settings.window(crop.kind, crop.large, shape)) for crop in table.crops[view]]
    assert torch.equal(boxes, table.sample(view, shape, generator("draw", view)))


def test_windows_of_one_kind_are_drawn_apart() -> None:
    table = CropTable(CropSettings(2, 4))
    smalls = torch.stack([table.sample(0, (4, 7, 7), generator("apart", step))[3:, 1:, 0] for step in range(200)])
    for i, j in ((0, 1), (1, 2), (2, 3)):
        agree = (smalls[:, i] == smalls[:, j]).all(-1).float().mean()
        assert agree < 0.15  # 1/16 by chance


def test_exclusive_bound_reaches_the_draws() -> None:
    table = CropTable(CropSettings(2, 4, exclusive_bound=True))
    boxes = torch.cat([table.sample(0, (4, 7, 7), generator("bound", step)) for step in range(50)])
    large = boxes[(boxes[:, 1, 1] - boxes[:, 1, 0]) == 6]
    assert len(large) == 100
    assert not large[..., 0].any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"space_large": 0, "space_small": 4}, "set CROP.NUM_LARGE_SPATIAL"),
        ({"time_small": 1}, "set CROP.NUM_LARGE_TEMPORAL"),
        ({"space_small": -1}, ">= 0"),
        ({"space_sizes": (1.2, 0.5)}, r"\(0, 1\], got \(1.2, 0.5\)"),
        ({"time_sizes": (0.5,)}, r"got \(0.5,\)"),
        ({"space_sizes": (0.5, 0.0)}, r"got \(0.5, 0.0\)"),
        ({"pairing": "released_"}, "did you mean released"),
    ],
)
def test_impossible_settings_are_refused(wrong, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CropSettings(**wrong)


def test_released_pairing_refuses_more_than_two_large_crops() -> None:
    with pytest.raises(UsageError, match="at most 2 large time crops per view, got 3"):
        CropSettings(time_large=3, pairing="released").terms()


@pytest.mark.parametrize(
    ("share", "cells", "expected"),
    [
        (6 / 7, 7, 6),
        (0.857, 7, 6),
        (0.571, 7, 4),
        (0.5, 5, 3),
        (0.5, 7, 4),
        (0.1, 4, 1),
        (0.857, 4, 3),
        (0.857, 2, 2),
        (1.0, 9, 9),
    ],
)
def test_a_share_is_the_nearest_number_of_cells_a_half_upwards_and_at_least_one(share, cells, expected) -> None:
    assert cells_of(share, cells) == expected


@pytest.mark.parametrize(
    ("counts", "map_shape", "message"),
    [
        (
            (2, 4, 0, 0),
            (8, 2, 2),
            "CROP.SPATIAL_SIZES: .*crops are (8, 2, 2) and (8, 1, 1): a large one is the whole map",
        ),
        (
            (2, 4, 0, 0),
            (8, 3, 1),
            "CROP.SPATIAL_SIZES: .*crops are (8, 3, 1) and (8, 2, 1): a large one is the whole map",
        ),
        (
            (0, 0, 2, 2),
            (2, 7, 7),
            "CROP.TEMPORAL_SIZES: .*crops are (2, 7, 7) and (1, 7, 7): a large one is the whole map",
        ),
        (
            (0, 0, 2, 2),
            (3, 7, 7),
            "CROP.TEMPORAL_SIZES: .*crops are (2, 7, 7) and (2, 7, 7): large and small ones have one size",
        ),
    ],
)
def test_crops_that_lose_their_meaning_on_a_map_are_reported_once(counts, map_shape, message: str, caplog) -> None:
    _warn_once.cache_clear()
    for _ in range(2):
        CropSettings(*counts).check(map_shape)
    assert len(caplog.records) == 1
    pattern = re.escape(message).replace(r"\.\*", ".*")
    assert re.match(pattern, caplog.records[0].message)
    assert "use larger frames" in caplog.text or "use longer clips" in caplog.text


@pytest.mark.parametrize("counts", [(2, 4, 0, 0), (2, 4, 2, 1), (1, 0, 1, 0), (0, 0, 2, 0)])
def test_nothing_is_logged_of_crops_that_differ(counts, caplog) -> None:
    _warn_once.cache_clear()
    CropSettings(*counts).check((8, 7, 7))
    CropSettings(2, 0, 0, 0, space_sizes=(0.5, 0.5)).check((1, 7, 7))  # no small ones, no temporal ones
    assert caplog.records == []


@pytest.mark.parametrize(
    ("counts", "map_shape", "message"),
    [
        (
            (2, 4, 0, 0),
            (8, 1, 1),
            r"CROP.NUM_LARGE_SPATIAL 2: a feature map of \(8, 1, 1\) cells",
        ),
        (
            (2, 4, 3, 1),
            (1, 7, 7),
            r"CROP.NUM_LARGE_TEMPORAL 3: .* cannot be cropped: use longer clips \(DATA.NUM_FRAMES\), or set",
        ),
    ],
)
def test_crops_of_a_single_cell_are_refused(counts, map_shape, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CropSettings(*counts).check(map_shape)
    CropSettings(0, 0, 0, 0).check(map_shape)
