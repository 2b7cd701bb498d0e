"""Makes the features that evaluations will ask for: each file is read once for all that see it alike."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from stica_pv.distributed import from_main, is_main
from stica_pv.errors import RunFailed
from stica_pv.evaluation.context import EvaluationContext, Want
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.features.extraction import Extracted, Job, extract
from stica_pv.evaluation.features.store import Stored
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.views import color_of, views_of

logger = logging.getLogger(__name__)

ITEMS_AT_ONCE = 8192  # that are written to disk before the next are read: an interrupted extraction goes on from there


def extract_features(wants: Sequence[Want], context: EvaluationContext) -> None:
    """Makes sure, on all processes together, that features are on disk.

    Raises:
        UsageError: Items cannot be read, and do not count as wrong.
    """
    passes: dict[tuple[ClipFormat, FeatureRequest], list[Want]] = {}
    for want in wants:
        seen = replace(want.request, layer="pooled", average=True)  # layers, and means of views, share a pass
        passes.setdefault((want.model.clip_format, seen), []).append(want)
    for modality in dict.fromkeys(want.request.modality for want in wants):
        items = {item for want in wants if want.request.modality == modality for item in want.items.tolist()}
        context.check_readable(context.unusable(items, modality))
    for same in passes.values():
        _pass(same, context)


def _pass(wants: list[Want], context: EvaluationContext) -> None:
    """Extracts what is not on disk of features that see the files alike."""
    by_name = {context.store.name(context.settings(want)): want for want in wants}
    todo = _todo(wants, context)
    if not todo:
        return
    request, clip_format = wants[0].request, wants[0].model.clip_format
    jobs = {name: _job(by_name[name], context) for name in todo}
    items = sorted({item for missing in todo.values() for item in missing})
    if is_main():
        crops = f" x {request.spatial_crops} crops" if request.spatial_crops > 1 else ""
        seen = f"{request.clips} {request.transform} clips{crops}"
        logger.info("%s, %s: %d items, %d kinds of features", request.modality, seen, len(items), len(jobs))
    for start in range(0, len(items), ITEMS_AT_ONCE):
        found = extract(
            jobs,
            context.dataset(views_of(request, clip_format), request.modality, clip_format),
            items[start : start + ITEMS_AT_ONCE],
            device=context.device,
            clips_at_once=context.loading.clips_at_once,
            num_workers=context.loading.num_workers,
            start_method=context.loading.start_method,
            prepare=color_of(request, clip_format, context.loading.seed),
        )
        _check_finite(found, by_name)
        if found is not None:
            for name in jobs:
                part = Stored(found.index, found.features[name], found.causes)
                context.store.add(name, context.settings(by_name[name]), part)
        context.check_readable({} if found is None else found.causes)
    for name in jobs if is_main() else ():
        context.store.join(name, context.settings(by_name[name]))


def _check_finite(found: Extracted | None, by_name: Mapping[str, Want]) -> None:
    """Ends the run, on all processes alike, for networks whose features are not finite: NaN means unreadable."""
    broken = []
    if found is not None:
        read = torch.tensor([item not in found.causes for item in found.index.tolist()])
        broken = [name for name, rows in found.features.items() if not bool(rows[read].isfinite().all())]
    names = from_main(", ".join(dict.fromkeys(by_name[name].model.name for name in broken)))
    if names:
        raise RunFailed(f"features of {names} are not finite: did the training diverge?")


def _todo(wants: list[Want], context: EvaluationContext) -> dict[str, list[int]]:
    """Items to extract by name of the features: what the main process finds missing."""
    missing: dict[str, set[int]] = {}
    for want in wants if is_main() else ():
        name = context.store.name(context.settings(want))
        missing.setdefault(name, set()).update(_missing(name, want, context))
    todo: dict[str, list[int]] = json.loads(
        from_main(json.dumps({name: sorted(items) for name, items in missing.items() if items}))
    )
    return todo


def _missing(name: str, want: Want, context: EvaluationContext) -> set[int]:
    """Items that are not on disk, or were unreadable when last tried and shall not be counted as wrong now."""
    stored = context.store.load(name)
    there = set() if stored is None else set(stored.index.tolist())
    if stored is not None and not context.loading.count_unreadable:
        there -= stored.causes.keys()
    items = set(want.items.tolist()) - there
    return items - context.unusable(items, want.request.modality).keys()


def _job(want: Want, context: EvaluationContext) -> Job:
    request = want.request
    return Job(context.encoder(want.model, request.modality), request.layer, request.average)
