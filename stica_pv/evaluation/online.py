"""Evaluation during pre-training: cheap curves over the epochs, from training videos only.

Some videos of the training list are used as queries, whole sources at a time, and classified by the others, by kNN and
by a linear probe. RankMe and LiDAR need no labels. All of them use one extraction of pooled video features. No test
video is used, and the training does not change: the videos stay in it, the networks are copied, and nothing is
remembered from one evaluation to the next.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, Limits
from stica_pv.config.roles import EVALUATION
from stica_pv.data.config import groups_from_config, reader_from_config
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.videos import Videos
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.errors import UsageError
from stica_pv.evaluation.config import loading_from_config
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.live import RESULT, extract_live
from stica_pv.evaluation.normalization import process
from stica_pv.evaluation.protocols.neighbors import class_votes, nearest
from stica_pv.evaluation.protocols.ridge import RIDGE_STRENGTHS, choose_strength, ridge_scores
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.evaluation.splits import can_hold_out, grouped_holdout
from stica_pv.evaluation.views import grid_windows
from stica_pv.keyed_random import generator
from stica_pv.metrics import lidar, rankme
from stica_pv.structures import Views, ViewSpec
from stica_pv.tasks import Task
from stica_pv.transforms import FixedCrop

logger = logging.getLogger(__name__)

KEY = "TEST.ONLINE_KNN_EPOCHS"
QUERY_SHARE = 0.2

declare_keys(
    __name__,
    "TEST",
    EVALUATION,
    Key(
        "ONLINE_KNN_EPOCHS",
        0,
        "Epochs between evaluations on a part of the training list: kNN, linear probe, RankMe and LiDAR; 0 never "
        "evaluates.",
        NOT_NEGATIVE,
    ),
    Key(
        "ONLINE_KNN_VIDEOS",
        2000,
        "Largest number of training videos of the online evaluation, a fifth of them queries.",
        Limits(low=2),
    ),
    Key("ONLINE_KNN_CLIPS", 1, "Clips per video of the online evaluation; LiDAR needs at least 2.", AT_LEAST_ONE),
)


@dataclass(frozen=True, eq=False)
class Held:
    """Labeled videos of an online evaluation, divided by source.

    Attributes:
        labels: int64 (V,).
        groups: int64 (V,), source of each video.
        gallery: int64 (G,), indices of the videos that vote, and that the probe is fitted to.
        queries: int64 (Q,), indices of the videos to classify, of other sources than the gallery.
    """

    labels: Tensor
    groups: Tensor
    gallery: Tensor
    queries: Tensor

    def sides(self, rows: Tensor) -> tuple[FeatureSet, FeatureSet]:
        """Return gallery and queries with their rows (V, 1, D), without unreadable videos."""
        read = ~rows.isnan().flatten(1).any(dim=1)
        parts = (indices[read[indices]] for indices in (self.gallery, self.queries))
        gallery, queries = (FeatureSet(rows[part], self.labels[part], self.groups[part]) for part in parts)
        return gallery, queries


@dataclass(frozen=True, eq=False)
class OnlineEvaluation:
    """Compute ``online_knn/top1``, ``online_linear/top1``, ``rankme_video`` and ``lidar_video`` after an epoch.

    The result is empty if none is due. Accuracies (in %) need labels, LiDAR needs two clips per video.

    Attributes:
        task: Task in training.
        dataset: Videos of the training list.
        held: Their labels and division; None without labels.
        every: Interval in epochs.
        k: Number of neighbors.
        processing: Normalization of the features, by the statistics of the gallery.
        loading: Settings of the extraction.
        seed: Seed of the hold-out that the strength of the probe is chosen on.
    """

    task: Task
    dataset: ClipDataset
    held: Held | None
    every: int
    k: int
    processing: str
    loading: Loading
    seed: int

    def __call__(self, epoch: int) -> dict[str, float]:
        """Evaluate the networks after `epoch` epochs."""
        if epoch % self.every:
            return {}
        encoder = self.task.encoders()["video"]
        found = extract_live(encoder, self.dataset, range(len(self.dataset)), self.loading, average=False)
        if found is None:
            return {}  # only the main process has the features
        if found.causes:
            logger.warning("the online evaluation excludes %d unreadable videos", len(found.causes))
        views = found.features[RESULT]
        return self._accuracies(views) | ranks(views[~views.isnan().flatten(1).any(dim=1)])

    def _accuracies(self, views: Tensor) -> dict[str, float]:
        """Return the accuracies of kNN and of the linear probe on the queries, from (V, N, D)."""
        if self.held is None:
            return {}
        gallery, queries = self.held.sides(F.normalize(views, dim=2).mean(dim=1, keepdim=True))
        if not (len(gallery) and len(queries)):
            return {}
        gallery, queries = process(gallery, queries, self.processing)
        classes = int(self.held.labels.max()) + 1
        rows, wanted = gallery.features[:, 0], queries.features[:, 0]
        similarity, indices = nearest(rows, wanted, k=self.k, metric="cosine")
        votes = class_votes(similarity, gallery.labels[indices], classes=classes, votes="weighted")
        scores = probe_scores(gallery, wanted, seed=self.seed)
        return {
            f"online_{name}/top1": 100 * float(top_k_hits(found, queries.labels, 1).double().mean())
            for name, found in (("knn", votes), ("linear", scores))
        }


def probe_scores(gallery: FeatureSet, queries: Tensor, *, seed: int) -> Tensor:
    """Return scores (Q, classes) of a ridge regression onto classes, fitted to unit rows of the gallery.

    Its strength is chosen on held-out sources of the gallery; if nothing can be held out, it is the middle one.

    Args:
        gallery: (V, 1, D), one label each.
        queries: (Q, D).
        seed: Seed of the hold-out.
    """
    rows, wanted = F.normalize(gallery.features[:, 0], dim=1), F.normalize(queries, dim=1)
    strength = RIDGE_STRENGTHS[len(RIDGE_STRENGTHS) // 2]
    if can_hold_out(gallery.labels, gallery.groups):
        strength = choose_strength(rows, gallery, share=QUERY_SHARE, seed=seed)
    return ridge_scores(rows, gallery.labels, wanted, strength=strength)


def ranks(views: Tensor) -> dict[str, float]:
    """Return RankMe and LiDAR of the clips (V, N, D) of readable videos, as far as their numbers allow."""
    found = {"rankme_video": float(rankme(views.flatten(0, 1)))} if len(views) else {}
    if len(views) > 1 and views.shape[1] > 1:
        found["lidar_video"] = float(lidar(views))
    return found


def online_from_config(cfg: CfgNode, task: Task, videos: Videos, device: torch.device) -> OnlineEvaluation | None:
    """Build the online evaluation of a training; None if it is disabled.

    Args:
        cfg: Configuration of the training.
        task: Task to evaluate.
        videos: Training list.
        device: Device of the task.

    Raises:
        UsageError: It is enabled, but the task has no video encoder or nothing can be held out of the list.
    """
    test = cfg.TEST
    if not test.ONLINE_KNN_EPOCHS:
        return None
    if "video" not in task.encoders():
        raise UsageError(f"{KEY}: TASK {cfg.TASK} has no video encoder: set it to 0")
    grouped = groups_from_config(cfg, videos.names)
    groups = torch.arange(len(videos.paths)) if grouped is None else torch.from_numpy(grouped)
    chosen = choose_videos(groups, test.ONLINE_KNN_VIDEOS, cfg.RNG_SEED)
    dataset = ClipDataset(
        CompactStrings(videos.paths[i] for i in chosen.tolist()),
        [videos.durations_s[i] for i in chosen.tolist()],
        _views(cfg),
        reader=reader_from_config(cfg),
        seed=cfg.RNG_SEED,
        replace_failures=False,
        read_timeout_s=cfg.DATA.READ_TIMEOUT_SECONDS,
    )
    held = _held_from_config(cfg, videos.labels, groups, chosen)
    loading = loading_from_config(cfg, device)
    return OnlineEvaluation(
        task, dataset, held, test.ONLINE_KNN_EPOCHS, test.KNN_K, test.FEATURE_NORM, loading, cfg.RNG_SEED
    )


def _held_from_config(cfg: CfgNode, labels: Sequence[int] | None, groups: Tensor, chosen: Tensor) -> Held | None:
    every = cfg.TEST.ONLINE_KNN_EPOCHS
    if labels is None:
        logger.info("online evaluation every %d epochs: RankMe and LiDAR; kNN and linear probe need labels", every)
        return None
    wanted, sources = torch.tensor([labels[i] for i in chosen.tolist()]), groups[chosen]
    try:
        gallery, queries = grouped_holdout(wanted, sources, share=QUERY_SHARE, seed=cfg.RNG_SEED)
    except UsageError as error:
        raise UsageError(
            f"{KEY}: of {len(chosen)} training videos every class comes from one source, so none can be held out: "
            "set it to 0, raise TEST.ONLINE_KNN_VIDEOS, or see DATA.GROUP_PATTERN"
        ) from error
    logger.info(
        "online evaluation every %d epochs: %d videos of the training list are classified by %d others, of other "
        "sources",
        *(every, len(queries), len(gallery)),
    )
    return Held(wanted, sources, gallery, queries)


def choose_videos(groups: Tensor, most: int, seed: int) -> Tensor:
    """Return at most `most` videos: whole sources in random order, the last one truncated.

    Args:
        groups: int64 (V,), source of each video.
        most: Maximum number of videos.
        seed: Seed of the order.

    Returns:
        int64, ascending.
    """
    names, members = groups.unique(return_inverse=True)
    turn = torch.randperm(len(names), generator=generator("online kNN", seed))[members]
    return turn.argsort(stable=True)[:most].sort().values


def _views(cfg: CfgNode) -> Views:
    data, clips = cfg.DATA, cfg.TEST.ONLINE_KNN_CLIPS
    crop = FixedCrop(short_side=data.TEST_CROP_SIZE)
    specs = tuple(
        ViewSpec(f"clip{i}", f"clip{i}", data.NUM_FRAMES, data.TARGET_FPS, data.TEST_CROP_SIZE, crop)
        for i in range(clips)
    )
    return Views(specs, grid_windows(clips, data.NUM_FRAMES / data.TARGET_FPS), min_seconds=0.0, needs_audio=False)
