"""Evaluations from a configuration: what a checkpoint says of itself, which models are compared, what is refused."""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from markupsafe import Markup
from tiny_clips import make_clip
from tiny_runs import run_tiny, tiny_cfg

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import as_trained
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.evaluation import feature_passes
from stica_pv.evaluation.build_models import checkpoint_paths, create_evaluated_models, names_of, source_model
from stica_pv.evaluation.config import clip_format_from_config
from stica_pv.evaluation.evaluate import evaluate
from stica_pv.evaluation.features import extraction
from stica_pv.evaluation.results import read_results
from stica_pv.report import gallery_page
from stica_pv.workflows.run import run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of three steps."""
    folder = tmp_path_factory.mktemp("trained") / "first"
    run_tiny(clips_folder, folder, TRAIN__MAX_STEPS=3)
    return list_checkpoints(folder)[-1]


@pytest.fixture(scope="module")
def other(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of other networks on other clips."""
    folder = tmp_path_factory.mktemp("trained") / "second"
    changes = {"MODEL__WIDTH": 8, "DATA__NUM_FRAMES": 3, "POOL__NAME": "average", "RNG_SEED": 1}
    run_tiny(clips_folder, folder, TRAIN__MAX_STEPS=1, **changes)
    return list_checkpoints(folder)[-1]


def cfg_of(clips: Path, output: Path, *checkpoints: Path, **overrides: Any) -> CfgNode:
    """An evaluation that knows nothing of networks and clips."""
    cfg = get_cfg()
    arguments = {
        "NUM_GPUS": 0,
        "TRAIN.ENABLE": False,
        "TEST.ENABLE": True,
        "TEST.EVALUATIONS": ["retrieval"],
        "TEST.NUM_ENSEMBLE_VIEWS": 2,
        "TEST.CHECKPOINT_FILE_PATH": ",".join(map(str, checkpoints)),
        "DATA_LOADER.NUM_WORKERS": 0,
        "DATA.PATH_TO_DATA_DIR": clips,
        "OUTPUT_DIR": output,
        **{key.replace("__", "."): value for key, value in overrides.items()},
    }
    apply_overrides(cfg, [str(argument) for pair in arguments.items() for argument in pair])
    cfg.freeze()
    return cfg


def evaluate_checkpoints(clips: Path, output: Path, *checkpoints: Path, **overrides: Any) -> dict[str, float]:
    return run(cfg_of(clips, output, *checkpoints, **overrides), CPU)


def test_a_checkpoint_alone_describes_its_networks_and_its_clips(clips_folder: Path, tmp_path: Path, trained: Path):
    found = evaluate_checkpoints(clips_folder, tmp_path / "alone", trained)
    whole = run_tiny(
        clips_folder, tmp_path / "whole", TRAIN__ENABLE=False, TEST__ENABLE=True, TEST__EVALUATIONS="['retrieval']",
        TEST__CHECKPOINT_FILE_PATH=trained,
    )  # fmt: skip
    assert found == whole
    assert {"retrieval/R@1", "retrieval/R@1/random_init", "retrieval/R@1/color thumbnail 4x4"} <= found.keys()
    assert found["retrieval/R@1/n"] == 6


def test_keys_of_the_command_line_win_over_those_of_a_checkpoint(clips_folder: Path, tmp_path: Path, trained: Path):
    cfg = cfg_of(clips_folder, tmp_path, trained, DATA__NUM_FRAMES=6, DATA__TARGET_FPS=4)
    adopted = as_trained(cfg, load_checkpoint(trained))
    assert (adopted.DATA.NUM_FRAMES, adopted.DATA.TARGET_FPS, adopted.MODEL.WIDTH) == (4, 8.0, 4)
    assert (clip_format_from_config(cfg).train_size, clip_format_from_config(adopted).train_size) == (112, 32)
    cfg = cfg_of(clips_folder, tmp_path, trained, DATA__NUM_FRAMES=6, OVERRIDES="['DATA.NUM_FRAMES']")
    adopted = as_trained(cfg, load_checkpoint(trained))
    assert (adopted.DATA.NUM_FRAMES, adopted.DATA.TARGET_FPS) == (6, 8.0)
    assert Path(adopted.DATA.PATH_TO_DATA_DIR) == clips_folder
    assert adopted.TEST == cfg.TEST


def test_several_checkpoints_give_one_table_each_beside_its_own_random_initialization(
    clips_folder: Path, tmp_path: Path, trained: Path, other: Path
):
    found = evaluate_checkpoints(clips_folder, tmp_path / "run", trained, other)
    name = f"{other.parents[2].name}:{other.parents[1].name}:{other.stem}"
    assert {f"retrieval/R@1/{name}", f"retrieval/R@1/random_init of {name}"} <= found.keys()
    assert "retrieval/R@1" not in found
    page = (tmp_path / "run" / "results.md").read_text()
    assert page.count("| R@1 |") == 5  # two trained, two random, one baseline
    alone = evaluate_checkpoints(clips_folder, tmp_path / "alone", other)
    assert alone["retrieval/R@1"] == found[f"retrieval/R@1/{name}"]
    assert alone["retrieval/mAP/random_init"] == found[f"retrieval/mAP/random_init of {name}"]


def test_checkpoints_of_the_same_kind_share_random_initialization(clips_folder: Path, tmp_path: Path, trained: Path):
    copy = shutil.copy(trained, tmp_path / "copy.pyth")
    names = [one.name for one in create_evaluated_models(cfg_of(clips_folder, tmp_path, trained, Path(copy)), tmp_path)]
    assert names.count("random_init") == 2
    assert len(names) == 6


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/checkpoints/step_1.pyth"], ["trained"]),
        (["a/checkpoints/step_1.pyth", "b/checkpoints/step_1.pyth"], ["a", "b"]),
        (["a/checkpoints/step_1.pyth", "a/checkpoints/step_2.pyth"], ["step_1", "step_2"]),
        (["out/a/c/step_1.pyth", "out/b/step_1.pyth"], ["a:c", "b"]),
        (["a/x.pyth", "x.pyth"], ["a:x", "x"]),
    ],
)
def test_names_are_what_differs_between_paths(paths: list[str], names: list[str]):
    assert names_of(paths) == names


def test_checkpoints_in_folders_with_commas_are_found(clips_folder: Path, tmp_path: Path):
    first, second = (
        tmp_path / "k400" / f"SOLVER.BASE_LR={lr},data=k400" / "checkpoints" / "step_00000256.pyth" for lr in (0.005, 1)
    )
    plain, absent = tmp_path / "plain.pyth", tmp_path / "a,b" / "absent.pyth"
    for path in (first, second, plain):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for given in ([first], [first, second], [second, plain, first]):
        assert checkpoint_paths(cfg_of(clips_folder, tmp_path, *given)) == list(map(str, given))
    spaced = cfg_of(clips_folder, tmp_path, TEST__CHECKPOINT_FILE_PATH=f" {first}, {plain} ,")
    assert checkpoint_paths(spaced) == [str(first), str(plain)]
    assert names_of([str(first), str(second)]) == ["SOLVER.BASE_LR=0.005,data=k400", "SOLVER.BASE_LR=1,data=k400"]
    with pytest.raises(UsageError, match=re.escape(f"checkpoint {tmp_path / 'a'}: there is no such file")):
        create_evaluated_models(cfg_of(clips_folder, tmp_path, absent, first), tmp_path)


def test_a_checkpoint_given_twice_is_refused():
    with pytest.raises(UsageError, match="names a checkpoint twice"):
        names_of(["a.pyth", "a.pyth"])


def test_random_initialisation_does_not_begin_with_the_weights_of_the_training(
    clips_folder: Path, tmp_path: Path, trained: Path
):
    first, second, *_ = create_evaluated_models(
        cfg_of(clips_folder, tmp_path, trained, TRAIN__CHECKPOINT_FILE_PATH=trained), tmp_path
    )
    assert (first.kind, second.kind) == ("trained", "random")
    assert first.hash != second.hash
    plain = create_evaluated_models(cfg_of(clips_folder, tmp_path, trained), tmp_path)[1]
    assert plain.hash == second.hash
    published = cfg_of(clips_folder, tmp_path, trained, MODEL__PRETRAINED=True)
    assert create_evaluated_models(published, tmp_path)[1].hash == second.hash


def test_without_a_checkpoint_random_initialisation_alone_can_be_evaluated_with_a_warning(
    clips_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    with pytest.raises(UsageError, match="TEST.ALLOW_RANDOM_INIT True evaluates without one"):
        run(tiny_cfg(clips_folder, tmp_path / "a", TRAIN__ENABLE=False, TEST__ENABLE=True), CPU)
    changes = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__ALLOW_RANDOM_INIT": True}
    found = run_tiny(clips_folder, tmp_path / "b", **changes)
    assert "retrieval/R@1" not in found
    assert "retrieval/R@1/random_init" in found
    assert "there is no checkpoint: only random initialization and baselines are evaluated" in caplog.text
    assert {row.dataset for row in read_results(tmp_path / "b").rows} == {clips_folder.name}  # not "csv"


def test_an_evaluation_does_not_speak_of_resuming(
    clips_folder: Path, tmp_path: Path, trained: Path, caplog: pytest.LogCaptureFixture
):
    logging.getLogger("stica_pv").propagate = True
    with caplog.at_level(logging.INFO, logger="stica_pv"):
        cfg = tiny_cfg(clips_folder, trained.parent.parent, TRAIN__ENABLE=False, TEST__ENABLE=True)
        create_evaluated_models(cfg, trained.parent.parent)
    assert "evaluating" in caplog.text
    assert "resuming" not in caplog.text


def test_wrong_names_of_evaluations_and_checkpoints_are_reported_before_anything_is_written(
    clips_folder: Path, tmp_path: Path, trained: Path
):
    for checkpoint, evaluations, message in (
        (trained, "['retreival']", "did you mean retrieval"),
        (trained, "[]", "TEST.ENABLE is True but TEST.EVALUATIONS is empty"),
        (tmp_path / "nowhere.pyth", "['retrieval']", "there is no such file"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate_checkpoints(clips_folder, tmp_path / "run", checkpoint, TEST__EVALUATIONS=evaluations)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def broken(clips_folder: Path, tmp_path: Path) -> Path:
    """The clips, one test file without audio and one training file that is none."""
    shutil.copytree(clips_folder, tmp_path / "clips")
    names = [(clips_folder / f"{split}.csv").read_text().split()[0] for split in ("test", "train")]
    make_clip(tmp_path / "clips" / names[0], 3, audio=False)
    (tmp_path / "clips" / names[1]).write_bytes(b"no video")
    return tmp_path / "clips"


def test_processes_that_would_test_different_weights_are_reported(
    clips_folder: Path, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    others = "tests trained 0123 on the list abc"
    answers = [others]
    monkeypatch.setattr("stica_pv.distributed.agreement.from_main", lambda text: answers.pop() if answers else text)
    with pytest.raises(UsageError, match=rf"process 0 tests trained [0-9a-f]+, .*, process 0 {others}: use the same"):
        evaluate(cfg_of(clips_folder, tmp_path, trained), tmp_path, CPU)
    assert not (tmp_path / "results.json").exists()


def test_unreadable_items_end_the_run_by_name_or_count_as_wrong(broken: Path, tmp_path: Path, trained: Path):
    with pytest.raises(UsageError, match=r"1 of 18 items of clips cannot be read: .*COUNT_UNREADABLE_AS_WRONG"):
        evaluate_checkpoints(broken, tmp_path / "a", trained)
    assert not (tmp_path / "a" / "results.json").exists()
    changes = {"TEST__COUNT_UNREADABLE_AS_WRONG": True, "TEST__EVALUATIONS": "['retrieval', 'cross_modal']"}
    found = evaluate_checkpoints(broken, tmp_path / "b", trained, **changes)
    assert found["retrieval/R@50"] == 100.0
    assert found["retrieval/R@50/n"] == found["cross_modal/video_to_audio/R@1/n"] == 6
    assert found["cross_modal/video_to_audio/R@1"] <= 100 * 5 / 6


def test_a_model_of_another_library_is_evaluated_beside_its_own_random_initialization(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "small_model_of_the_tests.py").write_text(
        "from stica_pv.models import create_r2plus1d_10\n\ndef small(pretrained=False):\n"
        "    net = create_r2plus1d_10(width=4)\n"
        "    if pretrained:\n        [p.data.abs_() for p in net.parameters()]\n    return net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    source = "small_model_of_the_tests:small"
    changes = {"MODEL__SOURCE": source, "DATA__NUM_FRAMES": 8, "DATA__TEST_CROP_SIZE": 32}
    cfg = cfg_of(clips_folder, tmp_path / "run", **changes)
    models = create_evaluated_models(cfg, tmp_path)
    assert [(one.name, one.kind) for one in models[:3]] == [
        (source, "trained"), ("random_init", "random"), ("random_init", "random"),
    ]  # fmt: skip
    assert models[0].hash != models[1].hash
    (tmp_path / "run").mkdir()
    found = evaluate(cfg, tmp_path / "run", CPU)
    assert {"retrieval/R@1", "retrieval/R@1/random_init"} <= found.keys()
    with pytest.raises(UsageError, match="did you mean slow_r50"):
        create_evaluated_models(cfg_of(clips_folder, tmp_path, MODEL__SOURCE="pytorchvideo:slow_r5"), tmp_path)


def test_a_model_of_torchvision_sees_frames_as_torchvision_normalises_them(clips_folder: Path, tmp_path: Path):
    changes = {"MODEL__SOURCE": "torchvision:r3d_18", "DATA__NUM_FRAMES": 2, "DATA__TEST_CROP_SIZE": 32}
    for chosen, mean in (({}, (0.43216, 0.394666, 0.37645)), ({"DATA__MEAN": "[0.5, 0.5, 0.5]"}, (0.5, 0.5, 0.5))):
        one = source_model(cfg_of(clips_folder, tmp_path, **changes, **chosen), "random", False)
        assert one.clip_format.color.mean == mean
        assert one.encoders["video"].mean.flatten().tolist() == pytest.approx(mean)


def test_features_are_extracted_once_for_all_protocols_runs_and_pages(
    clips_folder: Path, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    passes: list[int] = []

    def extract(*arguments: Any, **settings: Any) -> Any:
        passes.append(len(arguments[2]))
        return extraction.extract(*arguments, **settings)

    monkeypatch.setattr(feature_passes, "extract", extract)
    three = evaluate_checkpoints(
        clips_folder, tmp_path, trained, TEST__EVALUATIONS="['retrieval', 'knn', 'cross_modal']"
    )
    assert passes == [18, 18]  # frames and audio of all items
    (tmp_path / "knn").mkdir()
    alone = evaluate_checkpoints(clips_folder, tmp_path / "knn", trained, TEST__EVALUATIONS="['knn']")
    for section in ("_gallery", "_highlights", "_map", "_method"):  # what they show is tested with the page
        monkeypatch.setattr(gallery_page, section, lambda *arguments: Markup(""))
    gallery_page.create_gallery(cfg_of(clips_folder, tmp_path, trained), CPU, queries=1)
    assert passes == [18, 18]
    assert alone.items() <= three.items()


def test_features_are_kept_and_used_again(clips_folder: Path, tmp_path: Path, trained: Path, feature_cache: Path):
    first = evaluate_checkpoints(clips_folder, tmp_path, trained, TEST__FEATURE_DTYPE="float16")
    files = {path: path.stat().st_mtime_ns for path in feature_cache.glob("*/*.npz")}
    assert files
    assert all(np.load(path)["features"].dtype == np.float16 for path in files)
    again = evaluate_checkpoints(
        clips_folder, tmp_path, trained, TEST__FEATURE_DTYPE="float16", TEST__EVALUATIONS="['retrieval', 'knn']"
    )
    assert {path: path.stat().st_mtime_ns for path in feature_cache.glob("*/*.npz")} == files
    assert first.items() <= again.items()
    assert read_results(tmp_path).numbers == again
