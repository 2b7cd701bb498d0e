import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.evaluation.features.store import FeatureStore, Stored

SETTINGS: dict[str, Any] = {"modality": "video", "layer": "pooled", "clips": 2}


def part(*items: int, causes: dict[int, str] | None = None) -> Stored:
    features = torch.tensor([[[i + 0.1, i + 0.2], [i + 0.3, i + 0.4]] for i in items])
    features[[at for at, i in enumerate(items) if i in (causes or {})]] = torch.nan
    return Stored(torch.tensor(items), features, causes or {})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path, "float32")


def test_parts_are_one_and_are_joined_into_one_file(store: FeatureStore, tmp_path: Path):
    name = store.name(SETTINGS)
    assert store.load(name) is None
    store.add(name, SETTINGS, part(4, 5, causes={5: "torn"}))
    store.add(name, SETTINGS, part(0, 2))
    for joined in (False, True):
        if joined:
            store.join(name, SETTINGS)
            assert [path.name for path in tmp_path.iterdir()] == [f"{name}.npz"]
        stored = store.load(name)
        assert stored is not None
        assert stored.index.tolist() == [0, 2, 4, 5]
        assert torch.equal(stored.features[:3], part(0, 2, 4).features)  # exact: copied, not calculated
        assert stored.features[3].isnan().all()
        assert stored.causes == {5: "torn"}


def test_what_came_later_counts(store: FeatureStore):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(1, 3, causes={3: "torn"}))
    store.join(name, SETTINGS)
    store.add(name, SETTINGS, part(3))
    store.join(name, SETTINGS)
    stored = store.load(name)
    assert stored is not None
    assert torch.equal(stored.features, part(1, 3).features)  # exact: copied, not calculated
    assert stored.causes == {}


def test_a_part_of_items_that_are_tried_again_replaces_these_alone(store: FeatureStore):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0, 1, 2, 3, causes={0: "torn"}))
    store.add(name, SETTINGS, part(0, 4))
    store.join(name, SETTINGS)
    stored = store.load(name)
    assert stored is not None
    assert torch.equal(stored.features, part(0, 1, 2, 3, 4).features)  # exact: copied, not calculated
    assert stored.causes == {}


def test_a_part_in_which_nothing_could_be_read_fits_the_others(store: FeatureStore):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, Stored(torch.tensor([1]), torch.full((1, 1, 1), torch.nan), {1: "torn"}))
    store.add(name, SETTINGS, part(0, 2))
    stored = store.load(name)
    assert stored is not None
    assert stored.features.shape == (3, 2, 2)
    assert stored.features[1].isnan().all()


def test_other_settings_have_another_name(tmp_path: Path, store: FeatureStore):
    names = {
        store.name(SETTINGS),
        store.name({**SETTINGS, "clips": 3}),
        store.name({**SETTINGS, "layer": "map"}),
        FeatureStore(tmp_path, "float16").name(SETTINGS),
    }
    assert len(names) == 4
    assert store.name(dict(reversed(SETTINGS.items()))) == store.name(SETTINGS)


def test_files_state_what_made_them(store: FeatureStore, tmp_path: Path):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0))
    (path,) = tmp_path.iterdir()
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"features", "index", "settings"}
        assert SETTINGS.items() <= json.loads(str(file["settings"])).items()


def test_half_precision_takes_half_the_room_and_comes_back_as_float32(tmp_path: Path):
    store = FeatureStore(tmp_path, "float16")
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0))
    with np.load(next(tmp_path.iterdir())) as file:
        assert file["features"].dtype == np.float16
    stored = store.load(name)
    assert stored is not None
    assert stored.features.dtype == torch.float32
    assert torch.allclose(stored.features, part(0).features, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04cut"])
def test_a_broken_file_is_named(store: FeatureStore, tmp_path: Path, content: bytes):
    name = store.name(SETTINGS)
    (tmp_path / f"{name}.npz").write_bytes(content)
    with pytest.raises(UsageError, match=r"not a complete feature file.*remove it"):
        store.load(name)


def test_a_file_of_another_kind_is_not_taken_for_a_part(store: FeatureStore, tmp_path: Path):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0))
    (tmp_path / f"{name}.00000009.npz.partial").write_bytes(b"cut off")
    assert store.load(name) is not None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = FeatureStore(tmp_path / "file" / "features", "float32")
    with pytest.raises(UsageError, match="cannot be written"):
        store.add("name", SETTINGS, part(0))


def test_features_too_large_for_half_precision_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"too large for float16: set TEST\.FEATURE_DTYPE float32"):
        FeatureStore(tmp_path, "float16").add(
            "name", SETTINGS, Stored(torch.tensor([0]), torch.full((1, 1, 1), 1e6), {})
        )
    assert not list(tmp_path.iterdir())
