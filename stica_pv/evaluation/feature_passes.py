"""Extract the features that evaluations need: each file is read once for all jobs with the same views."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from stica_pv.distributed import from_main, is_main
from stica_pv.errors import RunFailed
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.features.extraction import Extracted, FeatureSpec, extract
from stica_pv.evaluation.features.store import Stored
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.views import color_of, views_of

logger = logging.getLogger(__name__)

ITEMS_AT_ONCE = 8192  # written to disk before the next are read, so that an interrupted extraction can continue


def extract_features(jobs: Sequence[FeatureJob], context: EvaluationContext) -> None:
    """Extract missing features to disk, on all processes together.

    Raises:
        UsageError: Items are unreadable and do not count as wrong.
    """
    passes: dict[tuple[ClipFormat, FeatureRequest], list[FeatureJob]] = {}
    for job in jobs:
        views = replace(job.request, layer="pooled", average=True)  # layers and averages share a pass
        passes.setdefault((job.model.clip_format, views), []).append(job)
    for modality in dict.fromkeys(job.request.modality for job in jobs):
        items = {item for job in jobs if job.request.modality == modality for item in job.items.tolist()}
        context.check_readable(context.unusable(items, modality))
    for same in passes.values():
        _pass(same, context)
    if jobs and is_main():
        context.store.trim()


def _pass(jobs: list[FeatureJob], context: EvaluationContext) -> None:
    """Extract the missing features of jobs with the same views."""
    by_name = {context.store.name(context.settings(job)): job for job in jobs}
    todo = _todo(jobs, context)
    if not todo:
        return
    request, clip_format = jobs[0].request, jobs[0].model.clip_format
    specs = {name: _spec(by_name[name], context) for name in todo}
    items = sorted({item for missing in todo.values() for item in missing})
    if is_main():
        crops = f" x {request.spatial_crops} crops" if request.spatial_crops > 1 else ""
        views = f"{request.clips} {request.transform} clips{crops}"
        logger.info("%s, %s: %d items, %d kinds of features", request.modality, views, len(items), len(specs))
    for start in range(0, len(items), ITEMS_AT_ONCE):
        found = extract(
            specs,
            context.dataset(views_of(request, clip_format), request.modality, clip_format),
            items[start : start + ITEMS_AT_ONCE],
            loading=context.loading,
            prepare=color_of(request, clip_format, context.seed),
        )
        _check_finite(found, by_name)
        if found is not None:
            for name in specs:
                part = Stored(found.index, found.features[name], found.causes)
                context.store.add(name, context.settings(by_name[name]), part)
        context.check_readable({} if found is None else found.causes)


def _check_finite(found: Extracted | None, by_name: Mapping[str, FeatureJob]) -> None:
    """Raise an error on all processes for features that are not finite; NaN is reserved for unreadable items."""
    broken = []
    if found is not None:
        read = torch.tensor([item not in found.causes for item in found.index.tolist()])
        broken = [name for name, rows in found.features.items() if not bool(rows[read].isfinite().all())]
    names = from_main(", ".join(dict.fromkeys(by_name[name].model.name for name in broken)))
    if names:
        raise RunFailed(f"features of {names} are not finite; the training may have diverged")


def _todo(jobs: list[FeatureJob], context: EvaluationContext) -> dict[str, list[int]]:
    """Return the items to extract by name of the features, as found missing by the main process."""
    missing: dict[str, set[int]] = {}
    for job in jobs if is_main() else ():
        name = context.store.name(context.settings(job))
        missing.setdefault(name, set()).update(_missing(name, job, context))
    todo: dict[str, list[int]] = json.loads(
        from_main(json.dumps({name: sorted(items) for name, items in missing.items() if items}))
    )
    return todo


def _missing(name: str, job: FeatureJob, context: EvaluationContext) -> set[int]:
    """Return items that are not on disk, or were unreadable before and do not count as wrong now."""
    stored = context.store.load(name)
    stored_items = set() if stored is None else set(stored.index.tolist())
    if stored is not None and not context.count_unreadable:
        stored_items -= stored.causes.keys()
    items = set(job.items.tolist()) - stored_items
    return items - context.unusable(items, job.request.modality).keys()


def _spec(job: FeatureJob, context: EvaluationContext) -> FeatureSpec:
    request = job.request
    return FeatureSpec(context.encoder(job.model, request.modality), request.layer, request.average)
