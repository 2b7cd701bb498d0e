"""Fine-tuning learns what is planted, separates last from best, continues after interruptions, repeats nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from colored_clips import TEST, TRAIN, colored_cfg, colored_context, labeled_set, make_colored
from tiny_runs import assert_same_weights, metrics_text, tree, weights

from stica_pv.config import CfgNode
from stica_pv.engine import load_checkpoint
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.evaluation.finetune import finetune as evaluation
from stica_pv.evaluation.finetune import fold as finetune_fold
from stica_pv.evaluation.finetune.finetune import finetune_from_config, metrics_of
from stica_pv.evaluation.finetune.fold import create_classification
from stica_pv.evaluation.finetune.recipe import training_config
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.views import views_of
from stica_pv.structures import SampleKey
from stica_pv.tasks import Classifier

LAST, BEST = "top1 (last epoch)", "top1 (best epoch, chosen on the test list)"
SHORT: dict[str, Any] = {"TEST__FINETUNE__CLIPS_PER_VIDEO": 1, "TEST__FINETUNE__LR_STEPS": "[3]"}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make_colored(tmp_path_factory.mktemp("colored"))


def finetune(cfg: CfgNode, paths: list[str], labels: torch.Tensor | None = None, **context: Any) -> list[Row]:
    folds = context.pop("folds", 1)
    return finetune_from_config(cfg).run(colored_context(cfg, labeled_set(paths, labels, folds), **context))


def the_fold(output: Path, name: str = "fold1") -> Path:
    (found,) = output.glob(f"finetune/*/{name}")
    return found


@pytest.fixture(scope="module")
def straight(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row]]:
    """A fine-tuning that nothing interrupted; nobody may change it."""
    output = tmp_path_factory.mktemp("straight")
    return output, finetune(colored_cfg(output, output, **SHORT), paths)


def test_planted_classes_are_found_and_labels_of_the_test_are_not_learned(paths: list[str], tmp_path: Path):
    cfg = colored_cfg(tmp_path, tmp_path, TEST__FINETUNE__CLIPS_PER_VIDEO=5)
    labels = torch.arange(TRAIN + TEST) % 3
    labels[-3:] = (labels[-3:] + 1) % 3  # half of the test list bears wrong labels
    rows = {(row.metric, row.fold): row for row in finetune(cfg, paths, labels, folds=2)}
    assert [rows[LAST, fold].value for fold in ("1", "2", "mean")] == [100.0, 0.0, 50.0]
    row = rows[LAST, "mean"]
    assert (row.n, row.groups, row.views, row.dataset_hash) == (6, 3, "1 x 3", "0" * 12)
    assert row.low <= row.value <= row.high
    assert (row.model, row.evaluation) == ("random_init", "finetune")


def test_the_last_and_the_best_epoch_are_distinguished():
    labels = torch.tensor([0, 1, 1, 0])
    right, half = torch.eye(2)[labels], torch.eye(2)[torch.tensor([0, 1, 0, 1])]
    values = {metric.name: metric.value for metric in metrics_of({2: half, 3: right, 4: half}, labels)}
    assert values == {LAST: 50.0, BEST: 100.0}


def test_an_item_that_cannot_be_read_is_wrong_and_counts():
    scores = torch.eye(7)
    scores[2] = torch.nan
    values = {metric.name: (metric.value, metric.items) for metric in metrics_of({1: scores}, torch.arange(7))}
    assert values[LAST] == (pytest.approx(600 / 7), 7)
    assert values["top5 (last epoch)"] == (pytest.approx(600 / 7), 7)


def test_views_are_averaged_as_asked(paths: list[str], tmp_path: Path, straight: tuple[Path, list[Row]]):
    settings = {**SHORT, "TEST__FINETUNE__AVERAGE": "probabilities"}
    (row, _) = finetune(colored_cfg(tmp_path, tmp_path, **settings), paths)
    scores = torch.load(the_fold(tmp_path) / "scores_epoch_0003.pt", weights_only=True)
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(TEST))
    assert "mean of probabilities over 1 x 3 fixed views" in row.protocol
    logits = torch.load(the_fold(straight[0]) / "scores_epoch_0003.pt", weights_only=True)
    assert logits.shape == (TEST, 3)
    assert not torch.allclose(scores, logits)


def test_scores_are_the_mean_of_the_logits_of_all_views(paths: list[str], straight: tuple[Path, list[Row]]):
    fold = the_fold(straight[0])
    cfg = colored_cfg(straight[0], straight[0], **SHORT)
    context, finetuning = colored_context(cfg, labeled_set(paths)), finetune_from_config(cfg)
    clip_format = context.models[0].clip_format
    run = training_config(cfg, classes=3, clip_format=clip_format)
    task = create_classification(run, context.models[0], finetuning.settings)
    task.load_state_dict(load_checkpoint(list_checkpoints(fold)[-1])["model"])
    sample = context.dataset(views_of(finetuning.settings.request, clip_format), "video", clip_format)[
        SampleKey(0, TRAIN)
    ]
    with torch.no_grad():
        logits = [Classifier(task).eval()(clip.unsqueeze(0))[0] for clip in sample.video.values()]
    assert len(logits) == 3
    scores = torch.load(fold / "scores_epoch_0003.pt", weights_only=True)
    torch.testing.assert_close(scores[0], torch.stack(logits).mean(dim=0))
    assert not torch.allclose(scores[0], logits[0], atol=1e-4)  # the views differ


def test_a_released_test_changes_colors_as_often_as_fine_tuning_and_not_as_pre_training(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clips = []
    monkeypatch.setattr(evaluation, "finetune_fold", lambda *args: clips.append(args[3]))
    cfg = colored_cfg(tmp_path, tmp_path, **SHORT, DATA__COLOR_JITTER_PROB=1.0)
    context = colored_context(cfg, labeled_set(paths))
    finetune_from_config(cfg)._finetune(context, context.models[0], context.labeled.folds[0], "video")
    assert clips[0].color.jitter_prob == 0.8


def test_a_finished_fold_is_not_touched_again(paths: list[str], straight: tuple[Path, list[Row]]):
    output, rows = straight
    before = tree(output)
    assert finetune(colored_cfg(output, output, **SHORT), paths) == rows
    assert tree(output) == before


def test_its_checkpoint_describes_itself(straight: tuple[Path, list[Row]]):
    (path,) = list_checkpoints(the_fold(straight[0]))
    content = load_checkpoint(path)
    assert "TASK: classification" in content["config"]
    assert "NUM_CLASSES: 3" in content["config"]
    assert content["model"]["classifier.weight"].shape == (3, 8)


@pytest.mark.parametrize(("module", "name", "call"), [("loop", "train_step", 4), ("fold", "write_scores", 1)])
def test_an_interrupted_run_goes_on_to_the_same_numbers(
    paths: list[str],
    straight: tuple[Path, list[Row]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    call: int,
):
    from stica_pv.engine import loop

    owner, calls = {"loop": loop, "fold": finetune_fold}[module], []
    original = getattr(owner, name)

    def dies(*arguments: Any) -> Any:
        calls.append(name)
        if len(calls) == call:
            raise InterruptedError("the power fails")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        with pytest.raises(InterruptedError):
            finetune(colored_cfg(tmp_path, tmp_path, **SHORT), paths)
    assert finetune(colored_cfg(tmp_path, tmp_path, **SHORT), paths) == straight[1]
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(the_fold(tmp_path)) == metrics_text(the_fold(straight[0]))
    assert_same_weights(weights(the_fold(tmp_path)), weights(the_fold(straight[0])))


def test_each_video_is_shown_as_often_as_asked_with_other_clips(straight: tuple[Path, list[Row]], paths: list[str]):
    facts = (the_fold(straight[0]) / "run.json").read_text()
    assert '"videos": 12' in facts
    assert '"steps_per_epoch": 2' in facts


def test_another_recipe_has_another_folder(straight: tuple[Path, list[Row]], paths: list[str], tmp_path: Path):
    finetune(colored_cfg(tmp_path, tmp_path, **{**SHORT, "TEST__FINETUNE__TEST_CLIPS": 2}), paths)
    assert the_fold(tmp_path).parent.name != the_fold(straight[0]).parent.name


def test_every_trained_encoder_is_trained_and_random_initialisation_once(paths: list[str], tmp_path: Path):
    cfg = colored_cfg(tmp_path, tmp_path, **{**SHORT, "TEST__FINETUNE__EPOCHS": 2})
    context = colored_context(cfg, labeled_set(paths), kinds=("trained", "random"))
    before = {name: value.clone() for name, value in context.models[0].encoders["video"].state_dict().items()}
    rows = finetune_from_config(cfg).run(context)
    assert sorted({row.model for row in rows}) == ["random_init", "trained"]
    assert len(rows) == 4
    assert_same_weights(context.models[0].encoders["video"].state_dict(), before)


def test_files_that_cannot_be_read_end_the_run_unless_they_count_as_wrong(paths: list[str], tmp_path: Path):
    torn = [*paths[:-1], str(tmp_path / "torn.mp4")]
    Path(torn[-1]).write_bytes(b"rubbish")
    cfg = colored_cfg(tmp_path, tmp_path / "out", **{**SHORT, "TEST__FINETUNE__EPOCHS": 2})
    with pytest.raises(UsageError, match=r"1 of 18 items of colored cannot be read: .*torn\.mp4"):
        finetune(cfg, torn)
    labels = torch.arange(TRAIN + TEST) % 3
    labels[-1] = 0  # what the best of a row of equal scores would be
    rows = finetune(cfg, torn, labels, count_unreadable=True)
    assert rows[0].n == TEST
    curve = (json.loads(line) for line in metrics_text(the_fold(tmp_path / "out")).splitlines())
    assert [line["finetune/top1"] for line in curve if "epoch_end" in line][-1] == pytest.approx(rows[0].value)
    scores = torch.load(the_fold(tmp_path / "out") / "scores_epoch_0002.pt", weights_only=True)
    assert scores.isnan().all(dim=1).tolist() == [False] * (TEST - 1) + [True]


def test_damaged_scores_of_an_epoch_are_named(tmp_path: Path):
    finetune_fold.write_scores(tmp_path, 3, torch.linspace(0, 1, 50))
    (path,) = tmp_path.iterdir()
    # exact: stored and read, not calculated
    assert torch.equal(finetune_fold.read_scores(tmp_path, 3), torch.linspace(0, 1, 50))
    data = bytearray(path.read_bytes())
    data[data.index(torch.linspace(0, 1, 50).numpy().tobytes()) + 60] ^= 4
    path.write_bytes(data)
    with pytest.raises(UsageError, match=f"{path.name} cannot be read"):
        finetune_fold.read_scores(tmp_path, 3)
    torch.save([1], path)
    with pytest.raises(UsageError, match=f"{path.name} is malformed: expected a tensor, got list"):
        finetune_fold.read_scores(tmp_path, 3)
