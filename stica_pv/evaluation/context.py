"""What evaluations are run on: a labeled data set, models, and their features, each extracted once."""

import copy
import hashlib
import logging
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.data.isolation.guard import Reader
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.manifest import exclusion_cause
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.sources.labeled import LabeledSet
from stica_pv.distributed import from_main, is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.evaluated_model import ClipFormat, EvaluatedModel
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.features.reestimate import reestimate_batch_norm, spread_over
from stica_pv.evaluation.features.store import FeatureStore, Stored
from stica_pv.evaluation.requests import FeatureRequest, Modality
from stica_pv.evaluation.views import views_of
from stica_pv.structures import Views

logger = logging.getLogger(__name__)

REESTIMATE_ITEMS = 256
NAMED = 3  # how many files a message gives as examples


@dataclass(frozen=True)
class Loading:
    """How files are read.

    Attributes:
        reader_of: The reader for a look.
        clips_at_once: In a forward pass of each process.
        num_workers: Processes that read, for each process.
        start_method: Of these.
        seed: Of what requests draw.
        count_unreadable: Items that cannot be read are wrong in tests and left out of training; else they end the run.
    """

    reader_of: Callable[[ClipFormat], Reader]
    clips_at_once: int
    num_workers: int
    start_method: str
    seed: int
    count_unreadable: bool = False


@dataclass(frozen=True)
class Want:
    """Features that an evaluation will ask for."""

    model: EvaluatedModel
    request: FeatureRequest
    items: Tensor


class EvaluationContext:
    """Everything an evaluation may look at; each process of a run has one.

    Attributes:
        labeled: The data set and its folds.
        models: Who is evaluated.
        folder: OUTPUT_DIR.
        device: Where this process computes.
        loading: How files are read.
        store: Where features are kept.
    """

    def __init__(
        self,
        labeled: LabeledSet,
        models: Sequence[EvaluatedModel],
        headers: MediaInfoTable,
        *,
        folder: Path,
        device: torch.device,
        loading: Loading,
        store: FeatureStore,
    ) -> None:
        """Takes what it offers.

        Args:
            labeled: The data set.
            models: Who is evaluated; their networks are moved to the device when they are needed.
            headers: Facts of the files of the data set, in its order.
            folder: OUTPUT_DIR.
            device: Where this process computes.
            loading: How files are read.
            store: Where features are kept.
        """
        self.labeled, self.models = labeled, tuple(models)
        self.folder, self.device, self.loading = folder, device, loading
        self.store, self._headers = store, headers
        sizes = array("q", headers.column("size_bytes")).tobytes()
        self._files = hashlib.sha256(sizes).hexdigest()[:12]  # the same list may name other files by now
        self._ready: dict[tuple[Any, ...], nn.Module] = {}
        self._last: tuple[str, Stored] | None = None

    def dataset(self, views: Views, modality: Modality, clip_format: ClipFormat) -> ClipDataset:
        """All items of the data set as samples, seen as `views` say; a failure is returned, never replaced."""
        return ClipDataset(
            self.labeled.paths,
            self.durations_s(modality),
            views,
            reader=self.loading.reader_of(clip_format),
            seed=self.loading.seed,
            labels=None if self.labeled.multi_label else self.labeled.labels.tolist(),
            replace_failures=False,
        )

    def durations_s(self, modality: Modality) -> list[float]:
        """Length of every item in seconds: of its frames, or of its audio."""
        return list(self._headers.column(f"{modality}_seconds"))

    def unusable(self, items: Iterable[int], modality: Modality) -> dict[int, str]:
        """Those of the items whose headers tell that they cannot be used, with the cause."""
        wants: dict[str, bool] = {"needs_video": modality == "video", "needs_audio": modality == "audio"}
        causes = {i: exclusion_cause(self._headers[i], min_seconds=0.0, **wants) for i in map(int, items)}
        return {i: cause for i, cause in causes.items() if cause}

    def check_readable(self, causes: dict[int, str]) -> None:
        """Ends the run, on all processes alike, for items that cannot be read, unless they shall count as wrong.

        Args:
            causes: Why not, by item; what the main process gives counts.

        Raises:
            UsageError: There are some.
        """
        message = ""
        if is_main() and causes and not self.loading.count_unreadable:
            named = "; ".join(f"{self.labeled.paths[i]}: {causes[i]}" for i in sorted(causes)[:NAMED])
            message = (
                f"{len(causes)} of {len(self.labeled)} items of {self.labeled.name} cannot be read: {named}; restore "
                "them, or set TEST.COUNT_UNREADABLE_AS_WRONG True (they then count as wrong in every test)"
            )
        message = from_main(message)
        if message:
            raise UsageError(message)

    def encoder(self, model: EvaluatedModel, modality: Modality) -> nn.Module:
        """The network of a model, ready to run: on the device, its statistics re-estimated if they shall be."""
        key = model.hash, model.reestimate, modality
        if key not in self._ready:
            encoder = model.encoders[modality]
            if model.reestimate:
                encoder = copy.deepcopy(encoder).to(self.device)
                self._reestimate(encoder, model.clip_format, modality)
            self._ready[key] = encoder.to(self.device).eval()
        return self._ready[key]

    def _reestimate(self, encoder: nn.Module, clip_format: ClipFormat, modality: Modality) -> None:
        train = self.labeled.folds[0].train.tolist()
        unusable = self.unusable(train, modality)
        logger.info("re-estimating the batch-norm statistics of random initialization, %s", modality)
        reestimate_batch_norm(
            encoder,
            self.dataset(views_of(FeatureRequest(modality, clips=1), clip_format), modality, clip_format),
            spread_over([i for i in train if i not in unusable], REESTIMATE_ITEMS),
            device=self.device,
            num_workers=self.loading.num_workers,
            start_method=self.loading.start_method,
        )

    def settings(self, want: Want) -> dict[str, Any]:
        """What makes the features; equal settings give equal features."""
        model, request = want.model, want.request
        return {
            **asdict(request),
            "networks": model.hash,
            "reestimated_on": self.labeled.folds[0].name if model.reestimate else "",
            "clip_format": repr(model.clip_format),
            "dataset": self.labeled.name,
            "dataset_hash": self.labeled.hash,
            "file_sizes_hash": self._files,
            "seed": self.loading.seed if request.transform in ("released", "random_crop", "augmented") else 0,
        }

    def features(self, model: EvaluatedModel, request: FeatureRequest, items: Tensor) -> FeatureSet:
        """Features of some items, which `extract_features` has made; on the main process.

        Rows of items that cannot be read are NaN.

        Raises:
            UsageError: Some that can be read are not on disk.
        """
        stored = self._stored(Want(model, request, items))
        row_of = {item: row for row, item in enumerate(stored.index.tolist())}
        missing = set(items.tolist()) - row_of.keys()
        missing -= self.unusable(missing, request.modality).keys()
        if missing:
            raise UsageError(
                f"{self.folder}: {request.modality} features of {model.name} lack {len(missing)} of the "
                f"{len(items)} items of {self.labeled.name} that are needed, such as "
                f"{self.labeled.paths[min(missing)]}: the same command makes them"
            )
        rows = torch.tensor([row_of.get(int(item), -1) for item in items], dtype=torch.int64)
        features = stored.features[rows.clamp(min=0)]
        features[rows < 0] = torch.nan
        return FeatureSet(features, self.labeled.labels[items], self.labeled.groups[items])

    def unreadable(self, want: Want) -> dict[int, str]:
        """Items whose features are NaN, with the cause; on the main process."""
        causes = self._stored(want).causes
        return {i: causes[i] for i in want.items.tolist() if i in causes} | self.unusable(
            want.items.tolist(), want.request.modality
        )

    def _stored(self, want: Want) -> Stored:
        name = self.store.name(self.settings(want))
        if self._last is None or self._last[0] != name:
            stored = self.store.load(name)
            if stored is None:
                raise UsageError(
                    f"there are no {want.request.modality} features of {want.model.name}: none of the "
                    f"{len(want.items)} items of {self.labeled.name} that are needed can be read"
                )
            self._last = name, stored
        return self._last[1]
