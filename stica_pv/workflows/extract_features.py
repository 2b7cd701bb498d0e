"""Extract features of any list of files with the networks of a checkpoint."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from stica_pv.config import CfgNode
from stica_pv.data.manifest.videos import list_from_config
from stica_pv.data.sources.labeled import Fold, LabeledSet, name_of
from stica_pv.data.sources.video_list import VideoList
from stica_pv.distributed import is_main
from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import as_trained
from stica_pv.errors import UsageError
from stica_pv.evaluation.build_models import trained_model
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluate import create_context
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.features.store import Stored, write_features
from stica_pv.evaluation.requests import FeatureRequest, Layer, Modality

logger = logging.getLogger(__name__)

NO_LABEL = -1


@dataclass(frozen=True)
class ExtractFeatures:
    """Extraction of features; called on every process of a run.

    Attributes:
        modalities: Modalities to extract.
        layers: Layers to extract.
        average: Whether to average unit rows over views; otherwise every view is kept.
    """

    modalities: Sequence[Modality]
    layers: Sequence[Layer]
    average: bool

    def __call__(self, cfg: CfgNode, device: torch.device) -> list[Path]:
        """Write ``<modality>_<layer>.npz`` into OUTPUT_DIR for the list of TRAIN.DATASET and TRAIN.SPLIT.

        Returns:
            The files on the main process, none on the others.

        Raises:
            UsageError: The checkpoint lacks a requested layer, or files cannot be read (TEST.COUNT_UNREADABLE_AS_WRONG
                turns them into NaN rows).
        """
        folder = Path(cfg.OUTPUT_DIR)
        checkpoint = load_checkpoint(cfg.TEST.CHECKPOINT_FILE_PATH)
        model = trained_model(cfg.TEST.CHECKPOINT_FILE_PATH, checkpoint, as_trained(cfg, checkpoint))
        requests = self._requests(cfg)
        for request in requests:
            if not model.offers(request):
                path = cfg.TEST.CHECKPOINT_FILE_PATH
                raise UsageError(f"the networks of {path} have no layer {request.layer!r} for {request.modality}")
        listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
        labeled = as_labeled(listed, name_of(cfg.DATA.PATH_TO_DATA_DIR, cfg.TRAIN.DATASET))
        if is_main():
            _check_writable(folder)
            logger.info("%d files; %s", len(listed), model.clip_format)
        context = create_context(cfg, labeled, [model], folder, device)
        everything = labeled.folds[0].test
        jobs = [FeatureJob(model, request, everything) for request in requests]
        extract_features(jobs, context)
        if not is_main():
            return []
        return [write_named(job, context, listed, folder, cfg) for job in jobs]

    def _requests(self, cfg: CfgNode) -> list[FeatureRequest]:
        test = cfg.TEST
        base = FeatureRequest(
            clips=test.NUM_ENSEMBLE_VIEWS,
            spatial_crops=test.NUM_SPATIAL_CROPS,
            transform=test.TRANSFORM,
            average=self.average,
        )
        return [replace(base, modality=modality, layer=layer) for modality in self.modalities for layer in self.layers]


def _check_writable(folder: Path) -> None:
    """Make the folder, and check that files can be written, before hours of extraction.

    Raises:
        UsageError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"the output folder {folder} cannot be written: {error.strerror or error}") from error


def as_labeled(listed: VideoList, name: str) -> LabeledSet:
    """Turn any list into a labeled data set of one fold: all items are test items, each its own source."""
    count = len(listed)
    labels = torch.tensor(listed.labels) if listed.labels is not None else torch.full((count,), NO_LABEL)
    fold = Fold("all", torch.zeros(0, dtype=torch.int64), torch.arange(count))
    names, groups = listed.class_names, torch.arange(count)
    return LabeledSet(name, listed.paths, labels, names, groups, (fold,), listed.root, listed.list_hash)


def write_named(job: FeatureJob, context: EvaluationContext, listed: VideoList, folder: Path, cfg: CfgNode) -> Path:
    """Write features with the names and labels of their files, and return the path."""
    request = job.request
    features = context.features(job.model, request, job.items).features
    more = {"names": np.array(list(listed.names)), "labels": context.labeled.labels.numpy()}
    settings = {**context.settings(job), "checkpoint": cfg.TEST.CHECKPOINT_FILE_PATH, "root": listed.root}
    path = folder / f"{request.modality}_{request.layer}.npz"
    write_features(
        path, Stored(job.items, features, context.unreadable(job)), settings, dtype=cfg.TEST.FEATURE_DTYPE, more=more
    )
    logger.info("%s: features %s", path, tuple(features.shape))
    return path
