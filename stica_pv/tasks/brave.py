"""BraVe: a narrow view of a video and broad ones guess each other's projections (arXiv 2103.16559, ICCV 2021).

The narrow view is a short clip of large pictures, a broad one a long clip of small pictures, or long sound. Each has a
network of its own; there are no negatives.
"""

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.losses import contrast_accuracy, masked_mean, normalise, regression_rows
from stica_pv.metrics import effective_rank, spread
from stica_pv.structures import AudioSpec, Batch, Embeddings, LossTerms, StepKeys, Views, ViewSpec
from stica_pv.tasks.av_plan import ClipSettings
from stica_pv.tasks.base import Inputs, ParameterGroup, Task
from stica_pv.tasks.brave_heads import SharedHeads
from stica_pv.tasks.brave_plan import AUDIO, VIDEO, BravePictures, BravePlan, check_broad
from stica_pv.tasks.brave_windows import BROAD, NARROW, narrow_in_broad
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.transforms import (
    LogMel,
    apply_brave_colour,
    apply_random_convolution,
    draw_brave_colour,
    draw_random_convolution,
    draw_volume,
)


class BraVe(Task):
    """BraVe's networks and loss."""

    def __init__(
        self,
        *,
        narrow: ClipSettings,
        broad: ClipSettings,
        pictures: dict[str, BravePictures],
        alignment: str,
        backbone: nn.Module,
        pool: nn.Module,
        broad_networks: dict[str, nn.Module],
        log_mel: LogMel,
        heads: SharedHeads,
        volume_jitter: float = 0.0,
        audio_min_valid: float = 0.5,
        weights: tuple[float, float] = (1.0, 1.0),
        predictor_lr_scale: float = 10.0,
    ) -> None:
        """Composes the task of its parts.

        Args:
            narrow: What is read of the narrow view; its sound is not.
            broad: What is read of the broad views; without ``video`` among them no pictures.
            pictures: Augmentation of ``narrow`` and ``video``.
            alignment: Places of the windows; see `narrow_in_broad`.
            backbone: Trunk of the narrow view, which is evaluated.
            pool: Its pooling head; the paper averages.
            broad_networks: ``video``, from pictures to (B, C), and ``audio``, an audio tower; one of them or both.
            log_mel: Spectrogram.
            heads: Projectors and predictors.
            volume_jitter: Spread v of the volume factor U(1 - v, 1 + v).
            audio_min_valid: Share of a clip's sound that must be real for it to be compared.
            weights: Of broad views that guess the narrow one, and of the narrow one that guesses them.
            predictor_lr_scale: Factor on the learning rate of the predictors.
        """
        super().__init__()
        self.modalities = check_broad(broad_networks)
        if broad.silence_allowed and self.modalities == (AUDIO,):
            raise UsageError("DATA.MISSING_AUDIO silence: the broad view is sound alone; set it to drop")
        if min(weights) < 0 or max(weights) <= 0:
            raise UsageError(f"BRAVE.WEIGHTS: expected two numbers >= 0, not both 0, got {list(weights)}")
        self.narrow, self.broad, self.pictures, self.alignment = narrow, broad, pictures, alignment
        self.backbone, self.pool, self.log_mel, self.heads = backbone, pool, log_mel, heads
        for name in self.modalities:
            self.add_module(f"broad_{name}", broad_networks[name])
        self.volume_jitter, self.audio_min_valid = volume_jitter, audio_min_valid
        self.weights, self.predictor_lr_scale = weights, predictor_lr_scale

    def views(self) -> Views:
        """The narrow window without sound, and the broad one with what its views need."""
        narrow, broad = self.narrow, self.broad
        frames = broad.frames if VIDEO in self.modalities else 0
        audio = AudioSpec(broad.audio_rate_hz) if AUDIO in self.modalities else None
        specs = (
            ViewSpec(NARROW, NARROW, narrow.frames, narrow.fps, narrow.size, narrow.transform),
            ViewSpec(BROAD, BROAD, frames, broad.fps, broad.size, broad.transform, audio=audio),
        )
        windows = narrow_in_broad(narrow.seconds, broad.seconds, self.alignment)
        needs_audio = audio is not None and not broad.silence_allowed
        return Views(specs, windows, min_seconds=0.0, needs_audio=needs_audio)

    def draw(self, keys: StepKeys) -> BravePlan:
        """Draws colours and kernels of each view, and the volume, by sample."""

        def rngs(purpose: str) -> list[torch.Generator]:
            return [generator(purpose, keys.seed, keys.epoch, index) for index in keys.indices]

        seen = self._seen()
        return BravePlan(
            {view: draw_brave_colour(rngs(f"colour {view}"), self.pictures[view].colour) for view in seen},
            {
                view: draw_random_convolution(rngs(f"convolution {view}"), self.pictures[view].convolution_prob)
                for view in seen
                if self.pictures[view].convolution_prob
            },
            draw_volume(rngs("volume"), self.volume_jitter),
        )

    def _seen(self) -> dict[str, str]:
        """Views with pictures, and where a batch holds them."""
        return {NARROW: NARROW} | ({VIDEO: BROAD} if VIDEO in self.modalities else {})

    def prepare(self, batch: Batch, plan: BravePlan) -> Inputs:
        """Colours the pictures and makes the spectrogram."""
        inputs = {}
        for view, place in self._seen().items():
            settings = self.pictures[view]
            x = apply_brave_colour(batch.video[place], plan.colour[view], settings.colour)
            if view in plan.convolution:
                x = apply_random_convolution(x, plan.convolution[view])
            mean, std = (x.new_tensor(value).view(3, 1, 1, 1) for value in (settings.mean, settings.std))
            inputs[view] = (x - mean) / std
        if AUDIO in self.modalities:
            inputs[AUDIO] = self.log_mel(batch.audio[BROAD] * plan.volume.unsqueeze(1))
            inputs["audio_valid"] = (batch.audio_valid[BROAD] >= self.audio_min_valid).float()
        return inputs

    def embed(self, inputs: Inputs, plan: BravePlan) -> Embeddings:
        """Runs every view through its network and the heads.

        Returns:
            ``projections`` z and ``predictions`` h(z), (slots, B, D), see brave_heads.py; with sound ``audio_valid``
            (1, B, 1), 1 or 0.
        """
        features = {NARROW: self.pool(self.backbone(inputs[NARROW]))}
        features |= {name: self.get_submodule(f"broad_{name}")(inputs[name]) for name in self.modalities}
        projections, predictions = self.heads(features)
        rows = {"projections": projections, "predictions": predictions}
        return rows | ({"audio_valid": inputs["audio_valid"].view(1, -1, 1)} if AUDIO in inputs else {})

    def loss(self, local: Embeddings, gathered: Embeddings, *, first_row: int) -> LossTerms:
        """Weighted mean over both directions of every pair of narrow and broad view."""
        targets = local["projections"].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
        rows = regression_rows(local["predictions"], targets).unflatten(0, (-1, 2))  # (broad views, directions, B)
        here, everywhere = self._valid(local), self._valid(gathered)
        scalars, directions = {}, []
        for name, pair, valid, valid_everywhere in zip(self.modalities, rows, here, everywhere, strict=True):
            both = torch.stack([masked_mean(direction, valid, valid_everywhere) for direction in pair])
            scalars[f"loss_{name}_to_narrow"], scalars[f"loss_narrow_to_{name}"] = both
            directions.append(both)
        total = torch.stack(directions).mean(0) @ rows.new_tensor(self.weights) / sum(self.weights)
        scalars |= {"loss": total} | self._monitors(local, gathered, here, everywhere, first_row)
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    def _valid(self, rows: Embeddings) -> list[Tensor]:
        """Says which rows of each broad view are compared: bool (B,)."""
        everybody = torch.ones_like(rows["projections"][0, :, 0], dtype=torch.bool)
        return [rows["audio_valid"][0, :, 0] > 0 if name == AUDIO else everybody for name in self.modalities]

    def _monitors(
        self, local: Embeddings, gathered: Embeddings, here: list[Tensor], everywhere: list[Tensor], first_row: int
    ) -> dict[str, Tensor]:
        """Signs of collapse, and how often the narrow view's guess is nearest to its own first broad view."""
        broad, narrow = normalise(gathered["projections"][:2].detach())
        guesses = normalise(local["predictions"][1].detach())
        found = {
            "accuracy": contrast_accuracy(guesses, broad, here[0], everywhere[0], first_label=first_row),
            "spread_video": spread(narrow),
            "rank_video": effective_rank(narrow),
            f"spread_broad_{self.modalities[0]}": spread(broad),
        }
        if AUDIO in self.modalities:
            found["audio_share"] = here[self.modalities.index(AUDIO)].float().mean()
        return found

    def parameter_groups(self) -> list[ParameterGroup]:
        """The predictors learn faster than everything else."""
        predictors = tuple(p for p in self.heads.predictors.parameters() if p.requires_grad)
        known = {id(p) for p in predictors}
        others = tuple(p for p in self.parameters() if p.requires_grad and id(p) not in known)
        return [ParameterGroup("all", others), ParameterGroup("predictor", predictors, self.predictor_lr_scale)]

    def negatives(self, batch_size: int) -> int:
        """None."""
        return 0

    def facts(self) -> dict[str, int]:
        """Directed comparisons of the loss."""
        return {"terms": 2 * len(self.modalities)}

    def encoders(self) -> dict[str, nn.Module]:
        """The narrow view's trunk and, with sound, the audio tower; their projectors can be asked for."""
        settings, head = self.pictures[NARROW], self.heads.projector_of(NARROW)
        found: dict[str, nn.Module] = {
            "video": VideoEncoder(self.backbone, self.pool, settings.mean, settings.std, head)
        }
        if AUDIO in self.modalities:
            found["audio"] = AudioEncoder(
                self.log_mel, self.get_submodule("broad_audio"), self.heads.projector_of(AUDIO)
            )
        return found
