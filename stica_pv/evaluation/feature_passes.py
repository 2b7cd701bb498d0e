"""Makes the features that evaluations will ask for: each file is read once for all that see it alike."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from stica_pv.distributed import from_main, is_main
from stica_pv.errors import RunFailed
from stica_pv.evaluation.context import Bench, Want
from stica_pv.evaluation.evaluated_model import Look
from stica_pv.evaluation.features.extraction import Extracted, Job, extract
from stica_pv.evaluation.features.store import Stored
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.views import photometry_of, views_of

logger = logging.getLogger(__name__)

ITEMS_AT_ONCE = 8192  # that are written to disk before the next are read: an interrupted extraction goes on from there


def extract_features(wants: Sequence[Want], bench: Bench) -> None:
    """Makes sure, on all processes together, that features are on disk.

    Raises:
        UsageError: Items cannot be read, and do not count as wrong.
    """
    passes: dict[tuple[Look, FeatureRequest], list[Want]] = {}
    for want in wants:
        seen = replace(want.request, layer="pooled", average=True)  # layers, and means of views, share a pass
        passes.setdefault((want.contestant.look, seen), []).append(want)
    for modality in dict.fromkeys(want.request.modality for want in wants):
        items = {item for want in wants if want.request.modality == modality for item in want.items.tolist()}
        bench.check_readable(bench.unusable(items, modality))
    for same in passes.values():
        _pass(same, bench)


def _pass(wants: list[Want], bench: Bench) -> None:
    """Extracts what is not on disk of features that see the files alike."""
    by_name = {bench.store.name(bench.settings(want)): want for want in wants}
    todo = _todo(wants, bench)
    if not todo:
        return
    request, look = wants[0].request, wants[0].contestant.look
    jobs = {name: _job(by_name[name], bench) for name in todo}
    items = sorted({item for missing in todo.values() for item in missing})
    if is_main():
        crops = f" x {request.spatial_crops} crops" if request.spatial_crops > 1 else ""
        seen = f"{request.clips} {request.transform} clips{crops}"
        logger.info("%s, %s: %d items, %d kinds of features", request.modality, seen, len(items), len(jobs))
    for start in range(0, len(items), ITEMS_AT_ONCE):
        found = extract(
            jobs,
            bench.dataset(views_of(request, look), request.modality, look),
            items[start : start + ITEMS_AT_ONCE],
            device=bench.device,
            clips_at_once=bench.loading.clips_at_once,
            num_workers=bench.loading.num_workers,
            start_method=bench.loading.start_method,
            prepare=photometry_of(request, look, bench.loading.seed),
        )
        _check_finite(found, by_name)
        if found is not None:
            for name in jobs:
                part = Stored(found.index, found.features[name], found.causes)
                bench.store.add(name, bench.settings(by_name[name]), part)
        bench.check_readable({} if found is None else found.causes)
    for name in jobs if is_main() else ():
        bench.store.join(name, bench.settings(by_name[name]))


def _check_finite(found: Extracted | None, by_name: Mapping[str, Want]) -> None:
    """Ends the run, on all processes alike, for networks whose features are not finite: NaN means unreadable."""
    broken = []
    if found is not None:
        read = torch.tensor([item not in found.causes for item in found.index.tolist()])
        broken = [name for name, rows in found.features.items() if not bool(rows[read].isfinite().all())]
    names = from_main(", ".join(dict.fromkeys(by_name[name].contestant.name for name in broken)))
    if names:
        raise RunFailed(f"features of {names} are not finite: did the training diverge?")


def _todo(wants: list[Want], bench: Bench) -> dict[str, list[int]]:
    """Items to extract by name of the features: what the main process finds missing."""
    missing: dict[str, set[int]] = {}
    for want in wants if is_main() else ():
        name = bench.store.name(bench.settings(want))
        missing.setdefault(name, set()).update(_missing(name, want, bench))
    todo: dict[str, list[int]] = json.loads(
        from_main(json.dumps({name: sorted(items) for name, items in missing.items() if items}))
    )
    return todo


def _missing(name: str, want: Want, bench: Bench) -> set[int]:
    """Items that are not on disk, or were unreadable when last tried and shall not be counted as wrong now."""
    stored = bench.store.load(name)
    there = set() if stored is None else set(stored.index.tolist())
    if stored is not None and not bench.loading.count_unreadable:
        there -= stored.causes.keys()
    items = set(want.items.tolist()) - there
    return items - bench.unusable(items, want.request.modality).keys()


def _job(want: Want, bench: Bench) -> Job:
    request = want.request
    return Job(bench.encoder(want.contestant, request.modality), request.layer, request.average)
