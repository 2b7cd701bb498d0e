"""One pass over files for several encoders: every item is read once on any process, and rows are sorted by index."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn
from torch.utils.data import Sampler

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.distributed import is_main, rank, to_main, world_size
from stica_pv.engine.out_of_memory import fails_when_full
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.rows import rows_to_main
from stica_pv.evaluation.requests import Layer, source_of
from stica_pv.progress import Progress
from stica_pv.structures import Batch, SampleKey
from stica_pv.tasks.encoders import run_layers

Prepare = Callable[[Tensor, str, Tensor], Tensor]
"""(frames uint8 (B, 3, T, H, W), name of the view, item indices (B,)) -> input of the encoder."""

NO_AUDIO = "no audio can be decoded in any of its windows"


@dataclass(frozen=True)
class FeatureSpec:
    """One kind of features to extract in a pass.

    Attributes:
        encoder: Encoder on the device, in evaluation mode.
        layer: Layer of the encoder.
        average: Whether to average unit rows over views; otherwise every view is kept.
    """

    encoder: nn.Module
    layer: Layer
    average: bool


@dataclass(frozen=True)
class Extracted:
    """Result of a pass.

    Attributes:
        index: int64 (V,), indices of the items, ascending.
        features: float32 (V, N, D) by name; rows of unreadable items are NaN.
        causes: Causes of unreadable items.
    """

    index: Tensor
    features: dict[str, Tensor]
    causes: dict[int, str]


class OwnItems(Sampler[list[SampleKey]]):
    """Batches of the items of this process; the processes together cover every item exactly once."""

    def __init__(self, items: Sequence[int], batch_size: int) -> None:
        own = list(items)[rank() :: world_size()]
        self._batches = [own[i : i + batch_size] for i in range(0, len(own), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for batch in self._batches:
            yield [SampleKey(0, index) for index in batch]


@torch.no_grad()
def extract(
    specs: Mapping[str, FeatureSpec],
    dataset: ClipDataset,
    items: Sequence[int],
    *,
    loading: Loading,
    prepare: Prepare | None = None,
) -> Extracted | None:
    """Extract all features of some items of a data set, on all processes together.

    Args:
        specs: Features to extract, by name.
        dataset: Data set; its views are all of frames or all of audio alone.
        items: Unique indices of the items.
        loading: Settings of the pass; a loaded batch has at least one item, which may have more views than
            `clips_at_once`.
        prepare: Function applied to the frames of each view.

    Returns:
        All features on the main process, None on the others.

    Raises:
        RunFailed: A GPU is out of memory.
    """
    order = OwnItems(items, max(1, loading.clips_at_once // len(dataset.views.specs)))
    loader = ClipLoader(
        dataset, order, num_workers=loading.num_workers, start_method=loading.start_method, keep_failures=True
    )
    rows: dict[int, dict[str, Tensor]] = {}
    causes: dict[int, str] = {}
    advice = f"TEST.BATCH_SIZE {loading.clips_at_once} clips at a time: lower it"
    with Progress("features", len(items), unit="items", shown=is_main()) as progress:
        for keys, batch in zip(order, loader, strict=True):
            found = _silent(batch) | _unread([key.index for key in keys], batch, dataset)
            causes |= found
            if len(batch):
                with fails_when_full(lambda: "features", advice):
                    made = _encode(specs, batch.to(loading.device), prepare, loading.clips_at_once)
                for row, index in enumerate(batch.index.tolist()):
                    if index not in found:
                        # a tensor view would keep the whole batch
                        rows[index] = {name: values[row].clone() for name, values in made.items()}
            progress.add(len(keys) * world_size())
    gathered = [json.loads(text) for text in to_main(json.dumps(list(causes.items())))]
    all_causes = {index: cause for part in gathered for index, cause in part}
    return _joined(rows_to_main(rows), all_causes, specs)


def _encode(
    specs: Mapping[str, FeatureSpec], batch: Batch, prepare: Prepare | None, clips_at_once: int
) -> dict[str, Tensor]:
    """Return the features of a batch on the CPU, (B, N, D) by name."""
    if batch.video and prepare is not None:
        clips = torch.cat([prepare(video, name, batch.index) for name, video in batch.video.items()])
    else:
        clips = torch.cat(list((batch.video or batch.audio).values()))
    count = len(batch.video or batch.audio)
    made: dict[str, list[Tensor]] = {name: [] for name in specs}
    for encoder in {id(spec.encoder): spec.encoder for spec in specs.values()}.values():
        own = {name: spec for name, spec in specs.items() if spec.encoder is encoder}
        names = tuple({source_of(spec.layer): None for spec in own.values()})
        for part in clips.split(clips_at_once):
            layers = run_layers(encoder, part, names)
            for name, spec in own.items():
                made[name].append(_rows(layers, spec))
    # views vary slowest in `clips`
    stacked = {
        name: torch.cat(parts).unflatten(0, (count, len(batch))).transpose(0, 1).flatten(1, 2)
        for name, parts in made.items()
    }
    return {
        name: (values.mean(dim=1, keepdim=True) if specs[name].average else values).cpu()
        for name, values in stacked.items()
    }


def _rows(layers: Mapping[str, Tensor], spec: FeatureSpec) -> Tensor:
    """Return float32 rows of each clip (B, R, D), of unit length if views are averaged; several only of tokens."""
    value = layers[source_of(spec.layer)].float()
    if spec.layer == "tokens":
        rows = value.flatten(2).transpose(1, 2)
    else:
        rows = (max_pooled(value) if spec.layer == "map_max" else value).flatten(1).unsqueeze(1)
    return F.normalize(rows, dim=2) if spec.average else rows


def max_pooled(feature_map: Tensor) -> Tensor:
    """Max-pool a map: (B, C, T, H, W) by 2 × 2 × 2, stride 2; (B, C, F, T) by 1 × 3, stride 1 × 2.

    An axis shorter than the window is pooled as a whole; a vector (B, D) is returned unchanged.
    """
    if feature_map.ndim == 5:
        kernel = [min(2, side) for side in feature_map.shape[2:]]
        return F.max_pool3d(feature_map, kernel, stride=2)
    if feature_map.ndim == 4:
        return F.max_pool2d(feature_map, (1, min(3, feature_map.shape[3])), stride=(1, 2))
    return feature_map


def _silent(batch: Batch) -> dict[int, str]:
    """Return items with requested audio of which nothing could be decoded."""
    if batch.video or not batch.audio_valid:
        return {}
    valid = torch.stack(list(batch.audio_valid.values())).sum(dim=0)
    return {int(index): NO_AUDIO for index in batch.index[valid == 0]}


def _unread(wanted: Sequence[int], batch: Batch, dataset: ClipDataset) -> dict[int, str]:
    loaded = set(batch.index.tolist())
    cause = {failure.path: failure.cause for failure in batch.failures}
    return {index: cause[dataset.paths[index]] for index in wanted if index not in loaded}


def _joined(
    rows: dict[int, dict[str, Tensor]], causes: dict[int, str], specs: Mapping[str, FeatureSpec]
) -> Extracted | None:
    if not is_main():
        return None
    index = sorted(rows.keys() | causes.keys())
    features = {}
    for name in specs:
        nan_row = torch.full_like(next(iter(rows.values()))[name], torch.nan) if rows else torch.full((1, 1), torch.nan)
        features[name] = torch.stack([rows[i][name] if i in rows else nan_row for i in index])
    return Extracted(torch.tensor(index, dtype=torch.int64), features, causes)
