"""kNN during pre-training: a cheap curve over the epochs, from training videos only.

Some videos of the training list are used as queries, whole sources at a time, and classified by the others. No test
video is used, and the training does not change: the videos stay in it, the networks are copied.
"""

import logging
from dataclasses import dataclass

import torch
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
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.evaluation.splits import grouped_holdout
from stica_pv.evaluation.views import grid_windows
from stica_pv.keyed_random import generator
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
        "Epochs between kNN evaluations on a part of the training list; 0 never evaluates.",
        NOT_NEGATIVE,
    ),
    Key(
        "ONLINE_KNN_VIDEOS",
        2000,
        "Largest number of training videos of the online kNN, a fifth of them queries.",
        Limits(low=2),
    ),
    Key("ONLINE_KNN_CLIPS", 1, "Clips per video of the online kNN.", AT_LEAST_ONE),
)


@dataclass(frozen=True, eq=False)
class OnlineKnn:
    """Compute ``online_knn/top1`` in % after an epoch; return nothing if it is not due.

    Attributes:
        task: Task in training.
        dataset: Videos of the training list, indexed by `gallery` and `queries`.
        labels: int64 (V,).
        gallery: int64 (G,), indices of the videos that vote.
        queries: int64 (Q,), indices of the videos to classify, of other sources than the gallery.
        every: Interval in epochs.
        k: Number of neighbors.
        processing: Normalization of the features, by the statistics of the gallery.
        loading: Settings of the extraction.
    """

    task: Task
    dataset: ClipDataset
    labels: Tensor
    gallery: Tensor
    queries: Tensor
    every: int
    k: int
    processing: str
    loading: Loading

    def __call__(self, epoch: int) -> dict[str, float]:
        """Classify the queries after `epoch` epochs."""
        if epoch % self.every:
            return {}
        found = extract_live(
            self.task.encoders()["video"], self.dataset, range(len(self.dataset)), self.loading, average=True
        )
        if found is None:
            return {}  # only the main process has the features
        if found.causes:
            logger.warning("online kNN excludes %d unreadable videos", len(found.causes))
        rows = found.features[RESULT]
        gallery, queries = self._part(rows, self.gallery), self._part(rows, self.queries)
        if not (len(gallery) and len(queries)):
            return {}
        gallery, queries = process(gallery, queries, self.processing)
        similarity, indices = nearest(gallery.features[:, 0], queries.features[:, 0], k=self.k, metric="cosine")
        classes = int(self.labels.max()) + 1
        votes = class_votes(similarity, gallery.labels[indices], classes=classes, votes="weighted")
        return {"online_knn/top1": 100 * float(top_k_hits(votes, queries.labels, 1).double().mean())}

    def _part(self, rows: Tensor, indices: Tensor) -> FeatureSet:
        read = indices[~rows[indices].isnan().flatten(1).any(dim=1)]
        return FeatureSet(rows[read], self.labels[read], read)


def online_knn_from_config(cfg: CfgNode, task: Task, videos: Videos, device: torch.device) -> OnlineKnn | None:
    """Build the online kNN of a training; None if it is disabled.

    Args:
        cfg: Configuration of the training.
        task: Task to evaluate.
        videos: Training list.
        device: Device of the task.

    Raises:
        UsageError: It is enabled, but the list has no labels or nothing can be held out of it.
    """
    if not cfg.TEST.ONLINE_KNN_EPOCHS:
        return None
    if videos.labels is None:
        raise UsageError(
            f"{KEY} {cfg.TEST.ONLINE_KNN_EPOCHS} needs labels, but the training list has none: set it to 0, or use a "
            "list with labels (they are not used in training)"
        )
    if "video" not in task.encoders():
        raise UsageError(f"{KEY}: TASK {cfg.TASK} has no video encoder: set it to 0")
    grouped = groups_from_config(cfg, videos.names)
    groups = torch.arange(len(videos.paths)) if grouped is None else torch.from_numpy(grouped)
    chosen = choose_videos(groups, cfg.TEST.ONLINE_KNN_VIDEOS, cfg.RNG_SEED)
    labels = torch.tensor([videos.labels[i] for i in chosen.tolist()])
    try:
        gallery, queries = grouped_holdout(labels, groups[chosen], share=QUERY_SHARE, seed=cfg.RNG_SEED)
    except UsageError as error:
        raise UsageError(
            f"{KEY}: of {len(chosen)} training videos every class comes from one source, so none can be held out: "
            "set it to 0, raise TEST.ONLINE_KNN_VIDEOS, or see DATA.GROUP_PATTERN"
        ) from error
    logger.info(
        "online kNN every %d epochs: %d videos of the training list are classified by %d others, of other sources",
        *(cfg.TEST.ONLINE_KNN_EPOCHS, len(queries), len(gallery)),
    )
    dataset = ClipDataset(
        CompactStrings(videos.paths[i] for i in chosen.tolist()),
        [videos.durations_s[i] for i in chosen.tolist()],
        _views(cfg),
        reader=reader_from_config(cfg),
        seed=cfg.RNG_SEED,
        replace_failures=False,
        read_timeout_s=cfg.DATA.READ_TIMEOUT_SECONDS,
    )
    loading = loading_from_config(cfg, device)
    test = cfg.TEST
    return OnlineKnn(
        task, dataset, labels, gallery, queries, test.ONLINE_KNN_EPOCHS, test.KNN_K, test.FEATURE_NORM, loading
    )


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
