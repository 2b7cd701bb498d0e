import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.evaluation.features.store import LOCK, FeatureStore, Stored, feature_store

SETTINGS: dict[str, Any] = {"modality": "video", "layer": "pooled", "clips": 2}


def part(*items: int, causes: dict[int, str] | None = None) -> Stored:
    features = torch.tensor([[[i + 0.1, i + 0.2], [i + 0.3, i + 0.4]] for i in items])
    features[[at for at, i in enumerate(items) if i in (causes or {})]] = torch.nan
    return Stored(torch.tensor(items), features, causes or {})


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path, "float32")


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.npz"))


def test_the_items_of_all_parts_are_one_entry(store: FeatureStore):
    name = store.name(SETTINGS)
    assert store.load(name) is None
    store.add(name, SETTINGS, part(4, 5, causes={5: "torn"}))
    store.add(name, SETTINGS, part(0, 2))
    stored = store.load(name)
    assert stored is not None
    assert stored.index.tolist() == [0, 2, 4, 5]
    assert torch.equal(stored.features[:3], part(0, 2, 4).features)  # exact: copied, not calculated
    assert stored.features[3].isnan().all()
    assert stored.causes == {5: "torn"}


def test_an_item_that_could_be_read_once_counts_as_read(store: FeatureStore):
    name = store.name(SETTINGS)
    for added in (part(0, 1, 3, causes={3: "torn"}), part(3), part(3, 4, causes={3: "torn"})):
        store.add(name, SETTINGS, added)
    stored = store.load(name)
    assert stored is not None
    assert torch.equal(stored.features, part(0, 1, 3, 4).features)  # exact: copied, not calculated
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
    (path,) = files(tmp_path)
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"features", "index", "settings"}
        assert SETTINGS.items() <= json.loads(str(file["settings"])).items()


def test_half_precision_takes_half_the_room_and_comes_back_as_float32(tmp_path: Path):
    store = FeatureStore(tmp_path, "float16")
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0))
    with np.load(files(tmp_path)[0]) as file:
        assert file["features"].dtype == np.float16
    stored = store.load(name)
    assert stored is not None
    assert stored.features.dtype == torch.float32
    assert torch.allclose(stored.features, part(0).features, atol=1e-3)


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04cut", "torn", "flipped"])
def test_a_damaged_file_is_removed_so_that_its_items_are_extracted_again(
    store: FeatureStore, tmp_path: Path, content: bytes | str, caplog: pytest.LogCaptureFixture
):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0, 1))
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    changed = {"torn": whole[: len(whole) // 2], "flipped": whole[:140] + bytes([whole[140] ^ 255]) + whole[141:]}
    path.write_bytes(changed[content] if isinstance(content, str) else content)
    store.add(name, SETTINGS, part(2))
    with caplog.at_level("WARNING", logger="stica_pv"):
        stored = store.load(name)
    assert stored is not None
    assert stored.index.tolist() == [2]
    assert f"{path} is damaged" in caplog.text
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"features": np.zeros((2, 4), np.float32)},
        {"index": np.zeros(3, np.int64)},
        {"index": np.zeros(2)},
        {"settings": np.array("[]")},
        {"settings": np.array('{"causes": []}')},
    ],
)
def test_a_file_of_other_arrays_counts_as_damaged(
    store: FeatureStore, tmp_path: Path, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0, 1))
    (path,) = files(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, **changes})
    with caplog.at_level("WARNING", logger="stica_pv"):
        assert store.load(name) is None
    assert f"{path} is damaged" in caplog.text


def test_a_file_that_is_being_written_is_not_taken_for_a_part(store: FeatureStore, tmp_path: Path):
    name = store.name(SETTINGS)
    store.add(name, SETTINGS, part(0))
    (tmp_path / name / "a.npz.partial").write_bytes(b"cut off")
    assert store.load(name) is not None


def test_entries_that_were_not_used_for_longest_are_removed_and_none_in_use(tmp_path: Path):
    settings = [{**SETTINGS, "clips": clips} for clips in range(4)]
    names = [FeatureStore(tmp_path, "float32").name(one) for one in settings]
    for age, (name, one) in enumerate(zip(names, settings, strict=True)):
        FeatureStore(tmp_path, "float32").add(name, one, part(0))  # its lock ends with it
        os.utime(tmp_path / name / LOCK, (1e9 - age, 1e9 - age))
    user = FeatureStore(tmp_path, "float32")
    assert user.load(names[3]) is not None  # the one not used for longest, now in use
    os.utime(tmp_path / names[3] / LOCK, (9e8, 9e8))
    size = sum(path.stat().st_size for path in (tmp_path / names[0]).iterdir())
    FeatureStore(tmp_path, "float32", limit_bytes=2 * size).trim()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([names[0], names[3]])
    user.trim()
    assert len(list(tmp_path.iterdir())) == 2
    del user
    FeatureStore(tmp_path, "float32", limit_bytes=0).trim()
    assert not list(tmp_path.iterdir())


def test_files_of_others_in_the_folder_stay(tmp_path: Path):
    store = FeatureStore(tmp_path, "float32")
    store.add(store.name(SETTINGS), SETTINGS, part(0))
    entry = tmp_path / store.name(SETTINGS)
    kept = [tmp_path / "videos" / "a.mp4", tmp_path / "notes" / LOCK, entry / "notes.txt"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("not of the store")
    del store
    FeatureStore(tmp_path, "float32", limit_bytes=0).trim()
    assert all(path.read_text() == "not of the store" for path in kept)
    assert not files(tmp_path)


def test_the_lock_of_an_entry_is_removed_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    FeatureStore(tmp_path, "float32").add(FeatureStore(tmp_path, "float32").name(SETTINGS), SETTINGS, part(0))
    removed: list[str] = []
    monkeypatch.setattr(Path, "iterdir", lambda path: map(path.__truediv__, sorted(os.listdir(path), reverse=True)))
    unlink = Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **more: (removed.append(path.name), unlink(path, **more))[1])
    FeatureStore(tmp_path, "float32", limit_bytes=0).trim()
    assert len(removed) == 2
    assert removed[-1] == LOCK


def test_several_processes_add_and_read_and_remove_at_the_same_time(tmp_path: Path):
    with ProcessPoolExecutor(3, mp_context=get_context("fork")) as pool:
        assert list(pool.map(use_store, [tmp_path] * 3, range(3))) == [True] * 3


def use_store(folder: Path, number: int) -> bool:
    """Whether what this process has added is there for as long as it uses it."""
    for turn in range(10):
        store = FeatureStore(folder, "float32", limit_bytes=0)
        settings = {**SETTINGS, "clips": turn % 2}
        name = store.name(settings)
        store.add(name, settings, part(number))
        store.trim()
        stored = store.load(name)
        if stored is None or number not in stored.index.tolist():
            return False
    return True


def test_folder_and_size_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STICA_PV_FEATURE_CACHE", str(tmp_path / "here"))
    assert feature_store("float32").folder == tmp_path / "here"
    monkeypatch.delenv("STICA_PV_FEATURE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert feature_store("float32").folder == tmp_path / "stica_pv" / "features"
    for wrong in ("much", "-1", "nan"):
        monkeypatch.setenv("STICA_PV_FEATURE_CACHE_GB", wrong)
        with pytest.raises(UsageError, match=f"STICA_PV_FEATURE_CACHE_GB: expected a size in GB.*got '{wrong}'"):
            feature_store("float32")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    store = FeatureStore(tmp_path / "file" / "features", "float32")
    for write in (store.check, partial(store.add, "name", SETTINGS, part(0))):
        with pytest.raises(UsageError, match="cannot be written.*set STICA_PV_FEATURE_CACHE to a folder"):
            write()


def test_features_too_large_for_half_precision_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"too large for float16: set TEST\.FEATURE_DTYPE float32"):
        FeatureStore(tmp_path, "float16").add(
            "name", SETTINGS, Stored(torch.tensor([0]), torch.full((1, 1, 1), 1e6), {})
        )
    assert not files(tmp_path)
