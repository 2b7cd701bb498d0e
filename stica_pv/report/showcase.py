"""What the networks of a run have learned, for the eye: gallery, map, and what the method does with a few clips."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from markupsafe import Markup

from stica_pv.config import CfgNode
from stica_pv.data.sources.labeled import labeled_set_from_config
from stica_pv.distributed import is_main
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.evaluation.build_models import create_evaluated_models, find_checkpoints
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluate import create_context
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import wants_of
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.normalization import process
from stica_pv.evaluation.protocols.retrieval import averaged_rows
from stica_pv.report.batch_page import INTRO, clip_of
from stica_pv.report.embedding_map import POINTS, chosen_for_map, map_of
from stica_pv.report.gallery import NEIGHBORS, QUERIES, Answers, gallery_of
from stica_pv.report.inspection import see_step
from stica_pv.report.page import Section, fragment, join, missing, write_page
from stica_pv.report.search import Direction, directions_of, search
from stica_pv.report.thumbnails import Thumbnails

METHOD_CLIPS = 2
RANDOM_SHOWN = "random initialization"
FEWEST_ON_MAP = 4
MAP_INTRO = (
    "Each point is a test clip, where its features lie after a projection to the plane: PCA keeps large distances, "
    "t-SNE keeps neighbors together and means little beyond. The same clips by the trained network, and before it."
)


@dataclass(frozen=True)
class GalleryJob:
    """Writes a page of it all; called on every process of a run.

    Attributes:
        path: The page.
        queries: How many queries to show in each direction.
    """

    path: Path
    queries: int = QUERIES

    def __call__(self, cfg: CfgNode, device: torch.device) -> Path | None:
        """Returns the page, on the main process.

        Raises:
            UsageError: There is no checkpoint, no labeled data, or an extra is missing.
        """
        sections = showcase_of(cfg, device, queries=self.queries)
        return write_page(self.path, "What it learned", sections, subtitle=cfg.OUTPUT_DIR) if is_main() else None


def showcase_of(cfg: CfgNode, device: torch.device, *, queries: int = QUERIES) -> list[Section]:
    """Makes the sections, on all processes together; features that OUTPUT_DIR has are taken, others are made.

    Args:
        cfg: Of a run with checkpoints, or of an evaluation that names them.
        device: Where features are made.
        queries: How many queries to show in each direction.

    Returns:
        The sections on the main process, none on the others.

    Raises:
        UsageError: There is no checkpoint or no labeled data.
    """
    folder, cfg = Path(cfg.OUTPUT_DIR), _patient(cfg)
    context = create_context(cfg, labeled_set_from_config(cfg), create_evaluated_models(cfg, folder), folder, device)
    trained = next((one for one in context.models if one.kind == "trained"), None)
    random = next((one for one in context.models if one.kind == "random" and not one.reestimate), None)
    if trained is None or random is None:
        raise UsageError(f"{folder} has no trained network to show: set TEST.CHECKPOINT_FILE_PATH")
    pair = [(trained.name, trained), (RANDOM_SHOWN, random)]
    found = directions_of(cfg, [one for _, one in pair])
    wants = [want for protocol, _ in found for want in wants_of(protocol, [one for _, one in pair], context)]
    extract_features(wants, context)
    if not is_main():
        return []
    directions = [direction for _, some in found for direction in some]
    thumbnails = Thumbnails(context, trained)
    gallery = [_or_missing(partial(_gallery, one, context, pair, thumbnails, queries)) for one in directions]
    plane = _or_missing(partial(_map, directions[0], context, pair, thumbnails))
    method = _or_missing(partial(_method, cfg, folder))
    return [
        Section("Who is nearest", join([*gallery, thumbnails.store()])),
        Section("Map of the test clips", plane, MAP_INTRO),
        Section("What the method does", method, INTRO),
    ]


def _patient(cfg: CfgNode) -> CfgNode:
    """The same, but items that cannot be read, or lack audio, are left out; they end only what counts them."""
    own = cfg.clone()
    own.defrost()
    own.TEST.COUNT_UNREADABLE_AS_WRONG = True
    own.freeze()
    return own


def _gallery(
    direction: Direction,
    context: EvaluationContext,
    pair: Sequence[tuple[str, EvaluatedModel]],
    thumbnails: Thumbnails,
    queries: int,
) -> Markup:
    answers = [Answers(name, search(direction, context, one, NEIGHBORS)) for name, one in pair]
    if not len(answers[0].found.queries):
        return missing([f"{direction.name}: no test clip has the features for it."])
    return gallery_of(direction, answers, thumbnails, queries)


def _map(
    direction: Direction, context: EvaluationContext, pair: Sequence[tuple[str, EvaluatedModel]], thumbnails: Thumbnails
) -> Markup:
    if context.labeled.multi_label:
        raise UsageError("The map needs one label for each clip, and this data set gives several.")
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
    if len(rows) < FEWEST_ON_MAP:
        raise UsageError(f"A map needs at least {FEWEST_ON_MAP} test clips, and there are {len(rows)}.")
    items = fold.test[rows]
    drawn = map_of([(name, one[rows]) for name, one in features], items, context.labeled.labels[items], thumbnails)
    return join([drawn, fragment("note.html", text=f"{len(rows)} of {len(fold.test)} test clips (at most {POINTS}).")])


def _method(cfg: CfgNode, folder: Path) -> Markup:
    name, checkpoint = next(iter(find_checkpoints(cfg, folder).items()), ("", None))
    if checkpoint is None:
        raise UsageError("There is no checkpoint of a task whose steps could be shown.")
    seen = see_step(cfg, folder, step=0, clips=METHOD_CLIPS, checkpoint=checkpoint, source=name)
    parts = []
    for sample in range(len(seen)):
        parts += [fragment("heading.html", text=f"{sample + 1}. {seen.names[sample]}"), clip_of(seen, sample)]
    note = (
        f"The first {len(seen)} of {seen.batch_size} clips of step 0 of the training list, by the networks of {name}."
    )
    return join([fragment("note.html", text=note), *parts])


def _or_missing(make: Callable[[], Markup]) -> Markup:
    """What is made, or why it cannot be."""
    try:
        return make()
    except (UsageError, UnreadableClip) as error:
        return missing([str(error)])
