"""BraVe: a narrow view and broad views of a video predict each other's projections (arXiv 2103.16559, ICCV 2021).

The narrow view is a short clip of large frames. A broad view is a long clip of small frames, of optical flow, or of
audio. Each kind has its own network; there are no negatives.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.losses import contrast_accuracy, masked_mean, normalize, regression_rows
from stica_pv.metrics import effective_rank, spread
from stica_pv.structures import (
    AudioSpec,
    Batch,
    Comparison,
    Embeddings,
    FrameTransform,
    InputNote,
    LossTerms,
    StepKeys,
    Views,
    ViewSpec,
)
from stica_pv.tasks.base import Inputs, ParameterGroup, Task
from stica_pv.tasks.brave.heads import SharedHeads
from stica_pv.tasks.brave.params import AUDIO, FLOW, VIDEO, BraveParams, BraveVideo, kind_of, name_broad
from stica_pv.tasks.brave.windows import BROAD, NARROW, narrow_in_broad
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.monitors import described
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.tasks.stica.inspection import describe_volume
from stica_pv.transforms import (
    LogMel,
    apply_brave_color,
    apply_random_convolution,
    sample_brave_color,
    sample_random_convolution,
    sample_volume,
    scale_flow,
)
from stica_pv.transforms.color_ops import normalize_


class BraVe(Task):
    """BraVe's networks and loss."""

    def __init__(
        self,
        *,
        narrow: ClipSettings,
        broad: ClipSettings,
        video_settings: dict[str, BraveVideo],
        alignment: str,
        backbone: nn.Module,
        pool: nn.Module,
        broad_kinds: Sequence[str],
        broad_networks: Mapping[str, nn.Module],
        log_mel: LogMel,
        heads: SharedHeads,
        volume_jitter: float = 0.0,
        audio_min_valid: float = 0.5,
        flow_crop: FrameTransform | None = None,
        weights: tuple[float, float] = (1.0, 1.0),
        predictor_lr_scale: float = 10.0,
    ) -> None:
        """Composes the task from its parts.

        Args:
            narrow: Clip of the narrow view; its audio is not read.
            broad: Clip of the broad views; only what their kinds need is read.
            video_settings: Augmentation of ``narrow`` and ``video``.
            alignment: Position of the windows; see `narrow_in_broad`.
            backbone: Trunk of the narrow view, which is evaluated.
            pool: Pooling head of the trunk; the paper averages.
            broad_kinds: Kinds of the broad views, ``video``, ``flow``, ``audio``; see `name_broad`.
            broad_networks: Networks by kind: ``video`` and ``flow`` map to (B, C), ``audio`` is an audio tower. Without
                ``video`` the narrow view's network takes the broad frames.
            log_mel: Spectrogram.
            heads: Projectors and predictors.
            volume_jitter: Spread v of the volume factor U(1 - v, 1 + v).
            audio_min_valid: Share of a clip's audio that must be real for it to be compared.
            flow_crop: Crop of optical flow in the loader; required with a ``flow`` view.
            weights: Weights of both directions: broad views predict the narrow one, and the narrow one predicts them.
            predictor_lr_scale: Factor on the learning rate of the predictors.
        """
        super().__init__()
        self.broad_views = name_broad(broad_kinds)
        if broad.silence_allowed and self.broad_views == (AUDIO,):
            raise UsageError("DATA.MISSING_AUDIO silence: the broad view is audio alone; set it to drop")
        if min(weights) < 0 or max(weights) <= 0:
            raise UsageError(f"BRAVE.WEIGHTS: expected two numbers >= 0, not both 0, got {list(weights)}")
        self.narrow, self.broad, self.video_settings, self.alignment = narrow, broad, video_settings, alignment
        self.backbone, self.pool, self.log_mel, self.heads = backbone, pool, log_mel, heads
        for kind, network in broad_networks.items():
            self.add_module(f"broad_{kind}", network)
        self.flow_crop, self.volume_jitter, self.audio_min_valid = flow_crop, volume_jitter, audio_min_valid
        self.weights, self.predictor_lr_scale = weights, predictor_lr_scale

    def views(self) -> Views:
        """Returns the narrow window without audio, and the broad one with what its views need."""
        narrow, broad = self.narrow, self.broad
        specs = [ViewSpec(NARROW, NARROW, narrow.frames, narrow.fps, narrow.size, narrow.transform)]
        for view in self.broad_views:
            if view == AUDIO:
                specs.append(ViewSpec(view, BROAD, 0, 0.0, 0, None, audio=AudioSpec(broad.audio_rate_hz)))
            else:
                crop = self.flow_crop if view == FLOW else broad.transform
                specs.append(ViewSpec(view, BROAD, broad.frames, broad.fps, broad.size, crop, flow=view == FLOW))
        windows = narrow_in_broad(narrow.seconds, broad.seconds, self.alignment)
        needs_audio = AUDIO in self.broad_views and not broad.silence_allowed
        return Views(tuple(specs), windows, min_seconds=0.0, needs_audio=needs_audio)

    def sample_params(self, keys: StepKeys) -> BraveParams:
        """Samples colors and kernels of each view, and the volume, by sample."""

        def rngs(purpose: str) -> list[torch.Generator]:
            return [generator(purpose, keys.seed, keys.epoch, index) for index in keys.indices]

        video_settings = {view: self.video_settings[kind_of(view)] for view in self._frame_views()}
        return BraveParams(
            {view: sample_brave_color(rngs(f"colour {view}"), its.color) for view, its in video_settings.items()},
            {
                view: sample_random_convolution(rngs(f"convolution {view}"), its.convolution_prob)
                for view, its in video_settings.items()
                if its.convolution_prob
            },
            sample_volume(rngs("volume"), self.volume_jitter),
        )

    def _frame_views(self) -> list[str]:
        """Returns the views with frames."""
        return [NARROW, *(view for view in self.broad_views if kind_of(view) == VIDEO)]

    def prepare(self, batch: Batch, params: BraveParams) -> Inputs:
        """Applies color to the frames, scales the flow and computes the spectrogram."""
        inputs = {}
        for view in self._frame_views():
            settings = self.video_settings[kind_of(view)]
            x = apply_brave_color(batch.video[view], params.color[view], settings.color)
            if view in params.convolution:
                x = apply_random_convolution(x, params.convolution[view])
            inputs[view] = normalize_(x, settings.mean, settings.std)
        if FLOW in self.broad_views:
            inputs[FLOW] = scale_flow(batch.video[FLOW])
        if AUDIO in self.broad_views:
            inputs[AUDIO] = self.log_mel(batch.audio[AUDIO], params.volume)
            inputs["audio_valid"] = (batch.audio_valid[AUDIO] >= self.audio_min_valid).float()
        return inputs

    def embed(self, inputs: Inputs, params: BraveParams) -> Embeddings:
        """Runs every view through its network and the heads.

        Returns:
            ``projections`` z and ``predictions`` h(z), (slots, B, D), see heads.py; with audio ``audio_valid``
            (1, B, 1), 1 or 0.
        """
        networks = dict(self.named_children())
        features = {}
        for view in (NARROW, *self.broad_views):
            network = networks.get(f"broad_{kind_of(view)}")
            features[view] = self.pool(self.backbone(inputs[view])) if network is None else network(inputs[view])
        projections, predictions = self.heads(features)
        rows = {"projections": projections, "predictions": predictions}
        return rows | ({"audio_valid": inputs["audio_valid"].view(1, -1, 1)} if AUDIO in inputs else {})

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the weighted mean over both directions of every pair of narrow and broad view."""
        targets = local["projections"].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        rows = regression_rows(local["predictions"], targets).unflatten(0, (-1, 2))  # (broad views, directions, B)
        here, everywhere = self._valid(local), self._valid(gathered)
        scalars, directions = {}, []
        for name, pair, valid, valid_everywhere in zip(self.broad_views, rows, here, everywhere, strict=True):
            both = torch.stack([masked_mean(direction, valid, valid_everywhere) for direction in pair])
            scalars[f"loss_{name}_to_narrow"], scalars[f"loss_narrow_to_{name}"] = both
            directions.append(both)
        to_narrow, to_broad = torch.stack(directions).mean(0)
        total = (self.weights[0] * to_narrow + self.weights[1] * to_broad) / sum(self.weights)
        scalars |= {"loss": total} | self._monitors(local, gathered, here, everywhere, rank_offset)
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    def _valid(self, rows: Embeddings) -> list[Tensor]:
        """Returns which rows of each broad view are compared, bool (B,)."""
        all_rows = torch.ones_like(rows["projections"][0, :, 0], dtype=torch.bool)
        return [rows["audio_valid"][0, :, 0] > 0 if name == AUDIO else all_rows for name in self.broad_views]

    def _monitors(
        self, local: Embeddings, gathered: Embeddings, here: list[Tensor], everywhere: list[Tensor], rank_offset: int
    ) -> dict[str, Tensor]:
        """Signs of collapse, and how often the narrow view's guess is nearest to its own first broad view."""
        broad, narrow = normalize(gathered["projections"][:2].detach())
        predictions = normalize(local["predictions"][1].detach())
        found = {
            "accuracy": contrast_accuracy(predictions, broad, here[0], everywhere[0], rank_offset=rank_offset),
            "spread_video": spread(narrow),
            "rank_video": effective_rank(narrow),
            f"spread_broad_{self.broad_views[0]}": spread(broad),
        }
        if AUDIO in self.broad_views:
            found["audio_share"] = here[self.broad_views.index(AUDIO)].float().mean()
        return found

    def parameter_groups(self) -> list[ParameterGroup]:
        """Returns two groups: the predictors have a higher learning rate than everything else."""
        predictors = tuple(p for p in self.heads.predictors.parameters() if p.requires_grad)
        known = {id(p) for p in predictors}
        others = tuple(p for p in self.parameters() if p.requires_grad and id(p) not in known)
        return [ParameterGroup("all", others), ParameterGroup("predictor", predictors, self.predictor_lr_scale)]

    def metric_descriptions(self) -> dict[str, str]:
        """Returns a sentence on each number."""
        found = described("loss", "spread_video", "rank_video", "audio_share")
        found["accuracy"] = (
            "Share of the narrow views whose prediction is nearest to the first broad view of their video."
        )
        first = self.broad_views[0]
        found[f"spread_broad_{first}"] = f"Spread of the projections of the broad view {first!r}, as spread_video."
        for name in self.broad_views:
            distance = "Half the mean squared distance of unit vectors, 0 to 2"
            found[f"loss_{name}_to_narrow"] = f"{distance}: broad view {name!r} predicted from the narrow one."
            found[f"loss_narrow_to_{name}"] = f"{distance}: narrow view predicted from the broad view {name!r}."
        return found

    def negatives(self, batch_size: int) -> int:
        """Returns 0: there are no negatives."""
        return 0

    def sizes(self) -> dict[str, int]:
        """Returns the number of directed comparisons in the loss."""
        return {"terms": 2 * len(self.broad_views)}

    def input_notes(self, params: BraveParams) -> dict[str, InputNote]:
        """Returns colors and convolution of each view with frames, and the volume of the audio."""
        notes = {}
        for view in self._frame_views():
            settings, encoder = self.video_settings[kind_of(view)], "video" if view == NARROW else ""
            notes[view] = InputNote(view, settings.mean, settings.std, changes=params.describe(view), encoder=encoder)
        if AUDIO in self.broad_views:
            notes[AUDIO] = InputNote(AUDIO, changes=describe_volume(params.volume), encoder="audio")
        return notes

    def comparisons(self, local: Embeddings) -> list[Comparison]:
        """Returns each view's prediction of the other one's projection."""
        predictions, keys = normalize(local["predictions"]), normalize(local["projections"])
        names = self.heads.slots
        return [
            Comparison(f"prediction of {names[i]}", f"{names[i ^ 1]}", predictions[i] @ keys[i ^ 1].mT)
            for i in range(len(names))
        ]

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the narrow view's trunk and, with audio, the audio tower; projectors give the projected layer."""
        settings, head = self.video_settings[NARROW], self.heads.projector_of(NARROW)
        found: dict[str, nn.Module] = {
            "video": VideoEncoder(self.backbone, self.pool, settings.mean, settings.std, head)
        }
        if AUDIO in self.broad_views:
            found["audio"] = AudioEncoder(
                self.log_mel, self.get_submodule("broad_audio"), self.heads.projector_of(AUDIO)
            )
        return found
