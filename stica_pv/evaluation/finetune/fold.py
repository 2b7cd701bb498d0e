"""One fine-tuning: train a model on a fold and test it after the last epochs, in a separate folder."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from stica_pv.config import CfgNode
from stica_pv.data.manifest.videos import Videos
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.data.sources.labeled import Fold
from stica_pv.distributed import barrier, from_main, is_main
from stica_pv.engine.config import check_solver
from stica_pv.engine.run_folder import claim
from stica_pv.engine.training import run_training
from stica_pv.errors import RunFailed, UsageError
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import ClipFormat, EvaluatedModel
from stica_pv.evaluation.features.extraction import Extracted
from stica_pv.evaluation.finetune.config import FinetuneSettings
from stica_pv.evaluation.live import RESULT, extract_live
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.evaluation.requests import Modality
from stica_pv.evaluation.views import color_of, views_of
from stica_pv.keyed_random import seed_of
from stica_pv.partial_file import partial_file
from stica_pv.structures import ReadFailure, Views
from stica_pv.tasks.classification.classification import Classification, Classifier
from stica_pv.tasks.classification.config import classification_clip_from_config
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.weights.files import is_write_error, load_plain, save_torch, system_message

logger = logging.getLogger(__name__)

Scores = dict[int, Tensor]
"""By epoch, counted from 1: mean scores over views of each test item, float32 (V, classes); NaN: unreadable."""


@dataclass(frozen=True)
class FoldTest:
    """Test a classification at the end of an epoch, and save its scores.

    Attributes:
        task: Task in training.
        context: Evaluation context with the videos.
        fold: Fold with the test items.
        clip_format: Format of the clips.
        settings: Views, and what to average over them.
        folder: Output folder, with one file per epoch.
    """

    task: Classification
    context: EvaluationContext
    fold: Fold
    clip_format: ClipFormat
    settings: FinetuneSettings
    folder: Path

    def __call__(self, epoch: int) -> dict[str, float]:
        """Test after an epoch, if it is due; return top1 in %."""
        if epoch < self.settings.test_from:
            return {}
        found = self._extract("video")
        audio = self._extract("audio") if self.task.audio is not None else None
        if found is None:
            return {}  # only the main process has the scores
        views = found.features[RESULT]
        if audio is not None:  # each crop of a clip goes with the audio of the clip
            views = views + audio.features[RESULT].repeat_interleave(self.settings.request.spatial_crops, dim=1)
        averaged = (views.softmax(dim=2) if self.settings.average == "probabilities" else views).mean(dim=1)
        row_of = {item: row for row, item in enumerate(found.index.tolist())}
        scores = averaged[[row_of[item] for item in self.fold.test.tolist()]]
        write_scores(self.folder, epoch, scores)
        return {"finetune/top1": float(hits(scores, self.context.labeled.labels[self.fold.test], 1).mean())}

    def _extract(self, modality: Modality) -> Extracted | None:
        """Return the logits of all views by one modality on the main process."""
        request = replace(self.settings.request, modality=modality)
        found = extract_live(
            Classifier(self.task, modality),
            self.context.dataset(views_of(request, self.clip_format), modality, self.clip_format),
            self.fold.test.tolist(),
            self.context.loading,
            average=False,
            prepare=color_of(request, self.clip_format, self.context.seed),
        )
        self.context.check_readable({} if found is None else found.causes)
        return found


def hits(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return 100 where the true class is among the k best, else 0.

    Args:
        scores: float32 (V, classes); NaN rows of unreadable items are no hits.
        labels: int64 (V,).
        k: Number of best classes.

    Returns:
        float64 (V,).
    """
    readable = ~scores.isnan().any(dim=1)
    found = torch.zeros(len(scores), dtype=torch.float64)
    found[readable] = 100.0 * top_k_hits(scores[readable], labels[readable], k).double()
    return found


def finetune_fold(
    cfg: CfgNode,
    context: EvaluationContext,
    model: EvaluatedModel,
    clips: ClipFormat,
    fold: Fold,
    settings: FinetuneSettings,
) -> Scores:
    """Train and test; continue after an interruption without repeating finished work.

    Args:
        cfg: Configuration of this training, with its own OUTPUT_DIR.
        context: Evaluation context with the videos.
        model: Model whose trunk and pooling head are copied and trained.
        clips: Format of the clips.
        fold: Fold to train and test on.
        settings: Settings of the recipe.

    Returns:
        The scores on the main process, empty on the others.

    Raises:
        RunStopped: A signal stopped the run; a checkpoint is saved.
    """
    folder, epochs = Path(cfg.OUTPUT_DIR), range(settings.test_from, cfg.SOLVER.MAX_EPOCH + 1)
    if not from_main("done" if is_main() and all(_path(folder, epoch).is_file() for epoch in epochs) else ""):
        if is_main():
            claim(cfg)
        barrier()
        task = create_classification(cfg, model, settings).to(context.device)
        check_solver(cfg, task.parameter_groups(), context.device)
        test = FoldTest(task, context, fold, clips, settings, folder)
        _train(cfg, task, training_videos(context, fold, task.views()), folder, test)
        barrier()
    return {epoch: read_scores(folder, epoch) for epoch in epochs} if is_main() else {}


def _train(cfg: CfgNode, task: Classification, videos: Videos, folder: Path, test: FoldTest) -> None:
    task.check_labels(videos.labels)
    run_training(
        cfg,
        task,
        videos,
        folder,
        test.context.device,
        repeats_per_epoch=test.settings.clips_per_video,
        at_epoch_end=test,
        batch_key="TEST.FINETUNE.BATCH_SIZE",
    )


def create_classification(cfg: CfgNode, model: EvaluatedModel, settings: FinetuneSettings) -> Classification:
    """Build the task from copies of a model's trunk and pooling head; the seed determines the classifier."""
    encoder = model.encoders["video"]
    if not isinstance(encoder, VideoEncoder):
        raise UsageError(f"finetune: {model.name} has no trunk and pooling head to train")
    backbone, pool = copy.deepcopy(encoder.backbone).cpu(), copy.deepcopy(encoder.pool).cpu()
    clip = classification_clip_from_config(cfg)
    audio = _audio_copy(model) if clip.audio_rate_hz else None
    dim = _dim(nn.Sequential(backbone, pool), (3, clip.frames, clip.size, clip.size))
    if audio is not None:
        samples = round(clip.audio_rate_hz * clip.frames / clip.fps)
        dim += _dim(audio, (samples,), "cpu")  # a spectrogram needs numbers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("classifier", settings.seed))
        return Classification(
            clip=clip,
            backbone=backbone.requires_grad_(True),
            pool=pool.requires_grad_(True),
            dim=dim,
            classes=cfg.MODEL.NUM_CLASSES,
            backbone_lr_scale=cfg.CLASSIFICATION.BACKBONE_LR_SCALE,
            pool_lr_scale=cfg.CLASSIFICATION.POOL_LR_SCALE,
            audio=audio,
        )


def _audio_copy(model: EvaluatedModel) -> AudioEncoder:
    """Return a copy of the audio tower with its spectrogram, without the projection."""
    encoder = model.encoders["audio"]
    if not isinstance(encoder, AudioEncoder):
        raise UsageError(f"finetune: {model.name} has no audio tower to train")
    tower = copy.deepcopy(encoder.tower).cpu().requires_grad_(True)
    return AudioEncoder(copy.deepcopy(encoder.log_mel).cpu(), tower)


@torch.no_grad()
def _dim(network: nn.Module, shape: tuple[int, ...], device: str = "meta") -> int:
    """Return the output size of a network for an input of a shape."""
    shadow: Callable[[Tensor], Tensor] = copy.deepcopy(network).to(device).eval()
    try:
        return int(shadow(torch.zeros(1, *shape, device=device)).shape[1])
    except RuntimeError as error:
        raise UsageError(f"finetune: the networks cannot take clips of shape {shape}: {error}") from error


def training_videos(context: EvaluationContext, fold: Fold, views: Views) -> Videos:
    """Return the training items of a fold for a training, without any test items.

    Raises:
        UsageError: Some are unreadable, and TEST.COUNT_UNREADABLE_AS_WRONG is not set.
    """
    labeled, items = context.labeled, fold.train.tolist()
    causes = context.unusable((*items, *fold.test.tolist()), "video")
    if views.needs_audio:
        causes |= context.unusable((*items, *fold.test.tolist()), "audio")
    context.check_readable(causes)
    keep = [item for item in items if item not in causes]
    seconds = context.durations_s("video")
    return Videos(
        paths=CompactStrings(labeled.paths[item] for item in keep),
        durations_s=[seconds[item] for item in keep],
        labels=labeled.labels[keep].tolist(),
        list_hash=f"{labeled.hash} fold {fold.name}",
        excluded=tuple(ReadFailure(labeled.paths[i], cause) for i, cause in causes.items()),
        silent=0,
        root=labeled.root,
    )


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"scores_epoch_{epoch:04d}.pt"


def write_scores(folder: Path, epoch: int, scores: Tensor) -> None:
    """Save the scores of an epoch atomically.

    Raises:
        RunFailed: The disk is full, or the folder cannot be written.
    """
    path = _path(folder, epoch)
    try:
        with partial_file(path) as partial:
            save_torch(scores, partial)
    except (OSError, RuntimeError) as error:
        if not is_write_error(error):
            raise
        raise RunFailed(
            f"cannot write {path}: {system_message(error)}; free disk space and repeat the command to continue"
        ) from error


def read_scores(folder: Path, epoch: int) -> Tensor:
    """Read scores saved by `write_scores`.

    Raises:
        UsageError: The file is damaged.
    """
    path = _path(folder, epoch)
    scores = load_plain(str(path))
    if not isinstance(scores, Tensor):
        raise UsageError(f"{path} is malformed: expected a tensor, got {type(scores).__name__}; remove {folder}")
    return scores
