"""Short clips of one color for each class, and an untrained encoder: what fine-tuning must learn."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from tiny_runs import tiny_cfg
from tiny_task import CHANNELS, create_trunk

from stica_pv.config import CfgNode
from stica_pv.data.config import reader_from_config
from stica_pv.data.manifest.manifest import probe_all
from stica_pv.data.sources.labeled import Fold, LabeledSet
from stica_pv.evaluation.config import clip_format_from_config
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import EvaluatedModel, content_hash
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.store import FeatureStore
from stica_pv.models import AveragePool
from stica_pv.tasks import VideoEncoder

COLORS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
TRAIN, TEST = 12, 6
FPS, SECONDS, SIZE = 8, 0.5, 32

RECIPE: dict[str, Any] = {
    "TEST__FINETUNE__EPOCHS": 3,
    "TEST__FINETUNE__CLIPS_PER_VIDEO": 2,
    "TEST__FINETUNE__BATCH_SIZE": 6,
    "TEST__FINETUNE__BASE_LR": 0.05,
    "TEST__FINETUNE__LR_REFERENCE_BATCH": 0,
    "TEST__FINETUNE__WARMUP_EPOCHS": 1,
    "TEST__FINETUNE__LR_STEPS": "[2]",
    "TEST__FINETUNE__CROP_SIZE": 32,
    "TEST__FINETUNE__TEST_CLIPS": 1,
    "TEST__FINETUNE__TEST_CROPS": 3,
    "TEST__FINETUNE__TEST_FROM_EPOCH": 2,
    "CLASSIFICATION__BACKBONE_LR_SCALE": 1.0,
    "CLASSIFICATION__POOL_LR_SCALE": 1.0,
    "TEST__EVALUATIONS": "['finetune']",
    "POOL__NAME": "average",
    "LOG_PERIOD": 1,
}


def make_colored(folder: Path) -> list[str]:
    """Writes 18 clips; the class of clip i is i mod 3."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"clip{number:02}.mp4" for number in range(TRAIN + TEST)]
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        with av.open(str(path), "w") as container:
            video = container.add_stream("mpeg4", rate=FPS)
            video.width, video.height, video.pix_fmt = SIZE + 16, SIZE, "yuv420p"
            for i in range(round(SECONDS * FPS)):
                noise = rng.integers(-30, 30, (SIZE, SIZE + 16, 3))
                output = (np.array(COLORS[number % 3]) + noise).clip(0, 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(output, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, FPS)
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
    return [str(path) for path in paths]


def colored_cfg(clips: Path, output: Path, **overrides: Any) -> CfgNode:
    """Settings that learn the colors in a second."""
    return tiny_cfg(clips, output, **{**RECIPE, **overrides})


def labeled_set(paths: Sequence[str], labels: torch.Tensor | None = None, folds: int = 1) -> LabeledSet:
    """One fold of 12 clips to train and 6 to test on, or two that share the former; two clips are of one source."""
    labels = torch.arange(len(paths)) % 3 if labels is None else labels
    tests = torch.arange(TRAIN, TRAIN + TEST).split(TEST // folds)
    parts = tuple(Fold(str(number), torch.arange(TRAIN), test) for number, test in enumerate(tests, start=1))
    root = str(Path(paths[0]).parent)
    return LabeledSet("colored", paths, labels, ("r", "g", "b"), torch.arange(len(paths)) // 2, parts, root, "0" * 12)


def untrained(cfg: CfgNode) -> VideoEncoder:
    """A trunk of one layer."""
    torch.manual_seed(cfg.RNG_SEED)
    color = clip_format_from_config(cfg).color
    return VideoEncoder(create_trunk(), AveragePool(CHANNELS), color.mean, color.std)


def colored_context(
    cfg: CfgNode, labeled: LabeledSet, kinds: Sequence[str] = ("random",), **settings: Any
) -> EvaluationContext:
    """A evaluation context with models that are all the same untrained networks."""
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    models = []
    for kind, reestimate in itertools.product(kinds, (False, True)):
        if kind == "random" or not reestimate:
            encoders = {"video": untrained(cfg)}
            name = "random_init" if kind == "random" else kind
            clip_format, digest = clip_format_from_config(cfg), content_hash(encoders)
            models.append(EvaluatedModel(name, kind, encoders, clip_format, digest, reestimate))  # type: ignore[arg-type]
    return EvaluationContext(
        labeled,
        models,
        probe_all(labeled.paths, folder / "manifest.csv", 2),
        folder=folder,
        loading=Loading(torch.device("cpu"), clips_at_once=4, num_workers=0),
        reader_of=lambda clip_format: reader_from_config(cfg),
        **{"seed": cfg.RNG_SEED, **settings},
        store=FeatureStore(folder / "features", "float32"),
    )
