"""Context of evaluations: a labeled data set, models, and their features, each extracted once."""

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

from stica_pv.data.decoding.reader import Reader
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.manifest import exclusion_cause
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.sources.labeled import LabeledSet
from stica_pv.distributed import from_main, is_main
from stica_pv.errors import UsageError
from stica_pv.evaluation.evaluated_model import ClipFormat, EvaluatedModel, code_hash
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.reestimate import reestimate_batch_norm, spread_over
from stica_pv.evaluation.features.store import FeatureStore, Stored
from stica_pv.evaluation.requests import FeatureRequest, Modality
from stica_pv.evaluation.views import views_of
from stica_pv.structures import Views

logger = logging.getLogger(__name__)

REESTIMATE_ITEMS = 256
NAMED = 3  # number of example files in a message


@dataclass(frozen=True)
class FeatureJob:
    """Features of some items that an evaluation needs."""

    model: EvaluatedModel
    request: FeatureRequest
    items: Tensor


class EvaluationContext:
    """Data, models and features of the evaluations; each process of a run has one.

    Attributes:
        labeled: Data set with its folds.
        models: Models to evaluate.
        folder: OUTPUT_DIR.
        loading: Settings of the passes over files, with the device of this process.
        seed: Seed of random views.
        count_unreadable: Whether unreadable items are excluded from training and wrong in tests; else an error.
        store: Store of the features.
    """

    def __init__(
        self,
        labeled: LabeledSet,
        models: Sequence[EvaluatedModel],
        headers: MediaInfoTable,
        *,
        folder: Path,
        loading: Loading,
        reader_of: Callable[[ClipFormat], Reader],
        seed: int,
        read_timeout_s: float | None = None,
        count_unreadable: bool = False,
        store: FeatureStore,
    ) -> None:
        """Create a context.

        Args:
            labeled: Data set.
            models: Models to evaluate; their networks are moved to the device when needed.
            headers: Media information of the files, in the order of the data set.
            folder: OUTPUT_DIR.
            loading: Settings of the passes over files, with the device of this process.
            reader_of: Function that returns the reader for a clip format.
            seed: Seed of random views.
            read_timeout_s: Time limit per sample in a loader process, see `ClipDataset`.
            count_unreadable: Whether unreadable items are excluded from training and wrong in tests; else an error.
            store: Store of the features.
        """
        self.labeled, self.models = labeled, tuple(models)
        self.folder, self.loading, self._reader_of = folder, loading, reader_of
        self.seed, self.count_unreadable, self._read_timeout_s = seed, count_unreadable, read_timeout_s
        self.store, self._headers = store, headers
        stamps = [array("q", headers.column(name)).tobytes() for name in ("size_bytes", "mtime_ns")]
        self._files = hashlib.sha256(b"".join(stamps)).hexdigest()[:12]  # the files of a list may change
        self._ready: dict[tuple[Any, ...], nn.Module] = {}
        self._last: tuple[str, Stored] | None = None

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self.loading.device

    def dataset(self, views: Views, modality: Modality, clip_format: ClipFormat) -> ClipDataset:
        """Return all items of the data set with the given views; failures are returned, never replaced."""
        return ClipDataset(
            self.labeled.paths,
            self.durations_s(modality),
            views,
            reader=self._reader_of(clip_format),
            seed=self.seed,
            labels=None if self.labeled.multi_label else self.labeled.labels.tolist(),
            replace_failures=False,
            read_timeout_s=self._read_timeout_s,
        )

    def durations_s(self, modality: Modality) -> list[float]:
        """Return the length of every item in seconds: of its video or of its audio."""
        return list(self._headers.column(f"{modality}_seconds"))

    def unusable(self, items: Iterable[int], modality: Modality) -> dict[int, str]:
        """Return the items that cannot be used according to their headers, with the cause."""
        needs: dict[str, bool] = {"needs_video": modality == "video", "needs_audio": modality == "audio"}
        causes = {i: exclusion_cause(self._headers[i], min_seconds=0.0, **needs) for i in map(int, items)}
        return {i: cause for i, cause in causes.items() if cause}

    def check_readable(self, causes: dict[int, str]) -> None:
        """Raise an error on all processes for unreadable items, unless they count as wrong.

        Args:
            causes: Causes by item; only those of the main process count.

        Raises:
            UsageError: There are unreadable items.
        """
        message = ""
        if is_main() and causes and not self.count_unreadable:
            named = "; ".join(f"{self.labeled.paths[i]}: {causes[i]}" for i in sorted(causes)[:NAMED])
            message = (
                f"{len(causes)} of {len(self.labeled)} items of {self.labeled.name} cannot be read: {named}; restore "
                "them, or set TEST.COUNT_UNREADABLE_AS_WRONG True (they then count as wrong in every test)"
            )
        message = from_main(message)
        if message:
            raise UsageError(message)

    def encoder(self, model: EvaluatedModel, modality: Modality) -> nn.Module:
        """Return the encoder of a model on the device, with re-estimated batch-norm statistics if requested."""
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
            self.loading,
        )

    def settings(self, job: FeatureJob) -> dict[str, Any]:
        """Return the settings that determine the features."""
        model, request = job.model, job.request
        return {
            **asdict(request),
            "networks": model.hash,
            "code": code_hash(model.encoders[request.modality]),
            "reestimated_on": self.labeled.folds[0].name if model.reestimate else "",
            "clip_format": repr(model.clip_format),
            "dataset_hash": self.labeled.hash,
            "files_hash": self._files,
            "seed": self.seed if request.transform in ("released", "random_crop", "augmented") else 0,
        }

    def features(self, model: EvaluatedModel, request: FeatureRequest, items: Tensor) -> FeatureSet:
        """Return features of some items, extracted before by `extract_features`; on the main process.

        Rows of unreadable items are NaN.

        Raises:
            UsageError: Features of readable items are not on disk.
        """
        stored = self._stored(FeatureJob(model, request, items))
        row_of = {item: row for row, item in enumerate(stored.index.tolist())}
        missing = set(items.tolist()) - row_of.keys()
        missing -= self.unusable(missing, request.modality).keys()
        if missing:
            raise UsageError(
                f"{self.folder}: {request.modality} features of {model.name} lack {len(missing)} of the "
                f"{len(items)} required items of {self.labeled.name}, such as "
                f"{self.labeled.paths[min(missing)]}: repeat the command to extract them"
            )
        rows = torch.tensor([row_of.get(int(item), -1) for item in items], dtype=torch.int64)
        features = stored.features[rows.clamp(min=0)]
        features[rows < 0] = torch.nan
        return FeatureSet(features, self.labeled.labels[items], self.labeled.groups[items])

    def unreadable(self, job: FeatureJob) -> dict[int, str]:
        """Return the items whose features are NaN, with the cause; on the main process."""
        causes = self._stored(job).causes
        return {i: causes[i] for i in job.items.tolist() if i in causes} | self.unusable(
            job.items.tolist(), job.request.modality
        )

    def _stored(self, job: FeatureJob) -> Stored:
        name = self.store.name(self.settings(job))
        if self._last is None or self._last[0] != name:
            stored = self.store.load(name)
            if stored is None:
                raise UsageError(
                    f"there are no {job.request.modality} features of {job.model.name}: none of the "
                    f"{len(job.items)} required items of {self.labeled.name} can be read"
                )
            self._last = name, stored
        return self._last[1]
