"""Gallery of a run: nearest neighbors, map of the test clips, and inputs and similarities of a few clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from markupsafe import Markup

from stica_pv.config import CfgNode, with_keys
from stica_pv.data.sources.labeled import labeled_set_from_config
from stica_pv.distributed import alone, is_main
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.evaluation.build_models import create_evaluated_models, find_checkpoints
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluate import create_context
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import feature_jobs_of
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.normalization import process
from stica_pv.evaluation.protocols.retrieval import averaged_rows
from stica_pv.progress import Progress
from stica_pv.report.batch_page import INTRO, clip_of
from stica_pv.report.embedding_map import POINTS, chosen_for_map, map_of
from stica_pv.report.gallery import NEIGHBORS, QUERIES, Gallery, ModelNeighbors, gallery_of, highlights_of
from stica_pv.report.inspection import inspect_checkpoint_step
from stica_pv.report.page import Section, card, fragment, grid, join, missing, write_page
from stica_pv.report.search import Direction, directions_of, search
from stica_pv.report.thumbnails import Thumbnails

METHOD_CLIPS = 2
RANDOM_NAME = "random initialization"
MIN_MAP_POINTS = 4
MAP_INTRO = (
    "Each point is a test clip, with its features projected to two dimensions: PCA keeps large distances, t-SNE keeps "
    "only neighborhoods. The same clips are shown for the trained network and for random initialization."
)


@dataclass(frozen=True)
class WriteGallery:
    """Write the gallery page; called on every process of a run.

    Attributes:
        path: Output page.
        queries: Number of queries to show per direction.
    """

    path: Path
    queries: int = QUERIES

    def __call__(self, cfg: CfgNode, device: torch.device) -> Path | None:
        """Write the page, and return its path on the main process.

        Raises:
            UsageError: There is no checkpoint, no labeled data, or an extra is missing.
        """
        gallery = create_gallery(cfg, device, queries=self.queries)
        return write_page(self.path, "Gallery", gallery.sections, subtitle=cfg.OUTPUT_DIR) if is_main() else None


def create_gallery(cfg: CfgNode, device: torch.device, *, queries: int = QUERIES) -> Gallery:
    """Build the gallery, on all processes together; features of earlier evaluations are reused.

    Args:
        cfg: Configuration of a run with checkpoints, or of an evaluation that names them.
        device: Device to extract features on.
        queries: Number of queries to show per direction.

    Returns:
        The gallery on the main process, an empty one on the others.

    Raises:
        UsageError: There is no checkpoint or no labeled data.
    """
    folder, cfg = Path(cfg.OUTPUT_DIR), _tolerant(cfg)
    context = create_context(cfg, labeled_set_from_config(cfg), create_evaluated_models(cfg, folder), folder, device)
    trained = next((one for one in context.models if one.kind == "trained"), None)
    random = next((one for one in context.models if one.kind == "random" and not one.reestimate), None)
    if trained is None or random is None:
        raise UsageError(f"{folder} has no trained network: set TEST.CHECKPOINT_FILE_PATH")
    pair = [(trained.name, trained), (RANDOM_NAME, random)]
    found = directions_of(cfg, [one for _, one in pair])
    jobs = [job for protocol, _ in found for job in feature_jobs_of(protocol, [one for _, one in pair], context)]
    extract_features(jobs, context)
    if not is_main():
        return Gallery()
    directions = [direction for _, some in found for direction in some]
    with alone():  # the other processes have returned
        return _render(cfg, directions, context, pair, queries)


def _render(
    cfg: CfgNode,
    directions: Sequence[Direction],
    context: EvaluationContext,
    pair: Sequence[tuple[str, EvaluatedModel]],
    queries: int,
) -> Gallery:
    _, trained = pair[0]
    thumbnails = Thumbnails(context, trained)
    gallery = []
    with Progress("gallery", len(directions), unit="directions", delay_s=0.0) as progress:
        for one in directions:
            gallery.append(_or_missing(partial(_gallery, one, context, pair, thumbnails, queries)))
            progress.add()
    plane = _or_missing(partial(_map, directions[0], context, pair, thumbnails))
    method = _or_missing(partial(_method, cfg, context.folder))
    highlights = _or_missing(partial(_highlights, directions[0], context, trained, thumbnails))
    sections = [
        Section("Nearest neighbors", join([grid(gallery, "stack"), thumbnails.store()])),
        Section("Map of the test clips", plane, MAP_INTRO),
        Section("Method on sample clips", method, INTRO),
    ]
    return Gallery(sections, highlights)


def _tolerant(cfg: CfgNode) -> CfgNode:
    """Return a configuration that excludes unreadable items and items without audio instead of raising."""
    return with_keys(cfg, [("TEST.COUNT_UNREADABLE_AS_WRONG", True)])


def _gallery(
    direction: Direction,
    context: EvaluationContext,
    pair: Sequence[tuple[str, EvaluatedModel]],
    thumbnails: Thumbnails,
    queries: int,
) -> Markup:
    answers = [ModelNeighbors(name, search(direction, context, one, NEIGHBORS)) for name, one in pair]
    if not len(answers[0].found.queries):
        return missing([f"{direction.name}: no test clip has the required features."])
    return gallery_of(direction, answers, thumbnails, queries)


def _highlights(
    direction: Direction, context: EvaluationContext, model: EvaluatedModel, thumbnails: Thumbnails
) -> Markup:
    found = search(direction, context, model, NEIGHBORS)
    return highlights_of(direction, found, thumbnails) if len(found.queries) else Markup("")


def _map(
    direction: Direction, context: EvaluationContext, pair: Sequence[tuple[str, EvaluatedModel]], thumbnails: Thumbnails
) -> Markup:
    if context.labeled.multi_label:
        raise UsageError("The map needs one label per clip; this data set has several.")
    fold, modality = context.labeled.folds[0], direction.query
    features, readable = [], torch.ones(len(fold.test), dtype=torch.bool)
    for name, one in pair:
        train = context.features(one, direction.train[modality], fold.train)
        test = context.features(one, direction.test[modality], fold.test)
        readable &= ~test.features.isnan().flatten(1).any(dim=1)
        train = train.rows(~train.features.isnan().flatten(1).any(dim=1))
        features.append((name, F.normalize(averaged_rows(process(train, test, direction.processing)[1]), dim=1)))
    kept = readable.nonzero().flatten()
    rows = kept[chosen_for_map(context.labeled.labels[fold.test[kept]])]
    if len(rows) < MIN_MAP_POINTS:
        raise UsageError(f"The map needs at least {MIN_MAP_POINTS} test clips, got {len(rows)}.")
    items = fold.test[rows]
    drawn = map_of([(name, one[rows]) for name, one in features], items, context.labeled.labels[items], thumbnails)
    return join([drawn, fragment("note.html", text=f"{len(rows)} of {len(fold.test)} test clips (at most {POINTS}).")])


def _method(cfg: CfgNode, folder: Path) -> Markup:
    name, checkpoint = next(iter(find_checkpoints(cfg, folder).items()), ("", None))
    if checkpoint is None:
        raise UsageError("There is no checkpoint of a task to show.")
    inspected = inspect_checkpoint_step(cfg, folder, step=0, clips=METHOD_CLIPS, checkpoint=checkpoint, source=name)
    parts = []
    for sample in range(len(inspected)):
        parts.append(card(clip_of(inspected, sample), f"{sample + 1}. {inspected.names[sample]}"))
    note = (
        f"The first {len(inspected)} of {inspected.batch_size} clips of training step 0, with the networks of {name}."
    )
    return grid([fragment("note.html", text=note), *parts], "stack")


def _or_missing(make: Callable[[], Markup]) -> Markup:
    """Return the result of `make`, or a note with the reason of its failure."""
    try:
        return make()
    except (UsageError, UnreadableClip) as error:
        return missing([str(error)])
