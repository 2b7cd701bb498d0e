"""STiCA: contrast of video and audio, and of feature crops within video (ICCV 2021).

L = (1 - a) L_crop + a L_AV; V_k: whole-map embedding of view k, A: audio, F: feature crops, t: temperature.
Without crops and with average pooling this is the cross-modal baseline (GDT's first hypothesis on one clip).
"""

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.losses import GroupContrast, contrast_accuracy, contrast_rows, masked_mean, normalize
from stica_pv.models import (
    FeatureCrop,
    Pooling,
    check_token_drop,
    keep_computed,
    measure_pathways,
    plan_crops,
    sample_kept,
)
from stica_pv.structures import (
    Batch,
    Comparison,
    CropPlan,
    Embeddings,
    InputNote,
    LossTerms,
    StepKeys,
    Views,
)
from stica_pv.tasks.base import Inputs, Task
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.monitors import MONITORED, collapse_monitors, described
from stica_pv.tasks.parts import clip_views
from stica_pv.tasks.stica.av_params import AUDIO, VIEWS, AVParams, ClipSettings
from stica_pv.tasks.stica.crop_terms import CropSettings, CropTable
from stica_pv.tasks.stica.inspection import compared_windows, notes_of_step
from stica_pv.transforms import (
    ColorSettings,
    LogMel,
    apply_color,
    sample_color,
    sample_volume,
)


class AVContrastive(Task):
    """STiCA's networks and loss: two views of one window, and its audio once."""

    is_space: Tensor

    def __init__(
        self,
        *,
        clip: ClipSettings,
        color: ColorSettings,
        volume_jitter: float,
        backbone: nn.Module,
        pool: Pooling,
        video_head: nn.Module,
        log_mel: LogMel,
        audio_tower: nn.Module,
        audio_head: nn.Module,
        audio_head_passes: int = 1,
        audio_min_valid: float = 0.5,
        crops: CropSettings,
        token_drop: float = 0.0,
        cross_modal_weight: float = 0.5,
        cross_modal_temperature: float = 0.1,
        within_modal_temperature: float = 0.5,
    ) -> None:
        """Composes the task from its parts.

        Args:
            clip: Clip to read.
            color: Color augmentation of the views.
            volume_jitter: Spread v of the volume factor U(1 - v, 1 + v).
            backbone: Trunk that gives (B, C, T', H', W'), or a list of maps, one per pathway.
            pool: Pooling head with `pool_tokens`, `num_tokens` and `forward`.
            video_head: Projection of (N, B, ·) groups to the embedding.
            log_mel: Spectrogram.
            audio_tower: Network from spectrogram to vector.
            audio_head: Projection of the audio vectors.
            audio_head_passes: 1, or 2 for separate dropout of the audio for each view, as released.
            audio_min_valid: Share of a clip's audio that must be real for it to be compared.
            crops: Feature crops.
            token_drop: Share of the positions of the map that the trunk does not compute in training.
            cross_modal_weight: Weight a, 0 < a <= 1.
            cross_modal_temperature: Temperature t of L_AV.
            within_modal_temperature: Temperature t of L_crop.
        """
        super().__init__()
        _check_loss(cross_modal_weight, min(cross_modal_temperature, within_modal_temperature))
        check_token_drop(token_drop, backbone)
        if audio_head_passes not in (1, len(VIEWS)):
            raise UsageError(f"AUDIO.HEAD_PASSES: expected 1 or 2, got {audio_head_passes}")
        self.clip, self.color, self.volume_jitter = clip, color, volume_jitter
        self.backbone, self.pool, self.video_head = backbone, pool, video_head
        self.log_mel, self.audio_tower, self.audio_head = log_mel, audio_tower, audio_head
        self.audio_head_passes, self.audio_min_valid = audio_head_passes, audio_min_valid
        self.cross_modal_weight, self.temperature = cross_modal_weight, cross_modal_temperature
        self.feature_crop = FeatureCrop()
        self.table = CropTable(crops)
        self.within = GroupContrast(self.table.terms, temperature=within_modal_temperature)
        self.register_buffer("is_space", torch.tensor(self.table.is_space, dtype=torch.bool), persistent=False)
        if len(self.table.terms) and cross_modal_weight == 1:
            raise UsageError("CONTRASTIVE.CROSS_MODAL_WEIGHT 1 gives the crops no weight: set CROP.NUM_* to 0")
        sizes = measure_pathways(backbone, frames=clip.frames, size=clip.size)
        self.map_shape, *self.further_shapes = (size.shape for size in sizes)
        crops.check(self.map_shape)
        self.token_drop = token_drop

    def views(self) -> Views:
        """Returns two views of one window; the first has the audio."""
        return clip_views(self.clip, names=VIEWS)

    def sample_params(self, keys: StepKeys) -> AVParams:
        """Samples crop windows by step; color, volume and computed positions by sample."""

        def rngs(purpose: str) -> list[torch.Generator]:
            return [generator(purpose, keys.seed, keys.epoch, index) for index in keys.indices]

        positions = self.map_shape[1] * self.map_shape[2]
        dropping = VIEWS if self.token_drop else ()
        return AVParams(
            crops=tuple(self._sample_crops(keys, view) for view in range(len(VIEWS))),
            color=tuple(sample_color(rngs(f"photometry {name}"), self.color) for name in VIEWS),
            volume=sample_volume(rngs("volume"), self.volume_jitter),
            kept=tuple(sample_kept(self.token_drop, positions, rngs(f"tokens {name}")) for name in dropping),
        )

    def _sample_crops(self, keys: StepKeys, view: int) -> CropPlan:
        if self.table.settings.per_sample and keys.indices:
            rngs = [generator("crops", keys.seed, keys.epoch, index, view) for index in keys.indices]
            boxes = torch.stack([self.table.sample(view, self.map_shape, rng) for rng in rngs])
        else:
            boxes = self.table.sample(view, self.map_shape, generator("crops", keys.seed, keys.step, view))
        tokens = self.pool.num_tokens(self.map_shape[0])
        return plan_crops(boxes, self.map_shape, tokens, pathways=self.further_shapes)

    def prepare(self, batch: Batch, params: AVParams) -> Inputs:
        """Applies color to the views and computes the spectrogram."""
        inputs = {
            name: apply_color(batch.video[name], color, self.color)
            for name, color in zip(VIEWS, params.color, strict=True)
        }
        inputs["log_mel"] = self.log_mel(batch.audio[AUDIO], params.volume)
        inputs["audio_valid"] = (batch.audio_valid[AUDIO] >= self.audio_min_valid).float()
        return inputs

    def embed(self, inputs: Inputs, params: AVParams) -> Embeddings:
        """Embeds all windows of both views, and the audio.

        Each view has its own pass through the trunk, so that batch statistics span one view, as in the paper's runs.

        Returns:
            ``windows`` (N1 + N2, B, D) in the order of the crop table, ``audio`` (1 or 2, B, D), unit rows in fp32;
            ``audio_valid`` (1, B, 1), 1 or 0.
        """
        tokens = torch.cat([self._tokens(inputs[name], params, view) for view, name in enumerate(VIEWS)])
        windows = self.video_head(self.pool.pool_tokens(tokens))
        audio = self.audio_tower(inputs["log_mel"]).expand(self.audio_head_passes, -1, -1)
        return {
            "windows": normalize(windows),
            "audio": normalize(self.audio_head(audio)),
            "audio_valid": inputs["audio_valid"].view(1, -1, 1),
        }

    def _tokens(self, video: Tensor, params: AVParams, view: int) -> Tensor:
        """Crops the windows of a view from its map: (N, B, K, C)."""
        crops = params.crops[view]
        if not params.kept:
            return self.feature_crop(self.backbone(video), crops)
        kept = params.kept[view]
        return self.feature_crop(self.backbone(video, kept), keep_computed(crops, kept))

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns L = (1 - a) L_crop + a L_AV."""
        valid, valid_everywhere = local["audio_valid"][0, :, 0] > 0, gathered["audio_valid"][0, :, 0] > 0
        cross, accuracy = self._cross_modal(local, gathered, valid, valid_everywhere, rank_offset)
        a = self.cross_modal_weight
        total = a * cross
        scalars = {"loss_cross": cross, "accuracy_cross": accuracy, "audio_share": valid.float().mean()}
        if len(self.table.terms):
            losses = self.within(local["windows"], gathered["windows"], rank_offset=rank_offset)
            within = self.within.mean(losses)
            total = total + (1 - a) * within
            scalars["loss_within"] = within
            if self.table.settings.space_large:
                scalars["loss_space"] = self.within.mean(losses, self.is_space)
            if self.table.settings.time_large:
                scalars["loss_time"] = self.within.mean(losses, ~self.is_space)
        scalars |= collapse_monitors(  # of the first view and its audio
            (local["windows"][0], local["audio"][0]),
            (gathered["windows"][0], gathered["audio"][0]),
            valid,
            valid_everywhere,
        )
        return LossTerms(total, {"loss": total.detach(), **{name: value.detach() for name, value in scalars.items()}})

    def _cross_modal(
        self, local: Embeddings, gathered: Embeddings, valid: Tensor, valid_everywhere: Tensor, rank_offset: int
    ) -> tuple[Tensor, Tensor]:
        """Returns L_AV = mean over views of ½ [L_t(V -> A) + L_t(A -> V)], over the clips with audio."""
        whole = self.table.whole
        video, audio = local["windows"][whole], local["audio"].expand(len(VIEWS), -1, -1)
        video_keys, audio_keys = gathered["windows"][whole], gathered["audio"].expand(len(VIEWS), -1, -1)
        terms = [
            masked_mean(
                contrast_rows(
                    queries, keys, temperature=self.temperature, rank_offset=rank_offset, key_valid=valid_everywhere
                ),
                valid,
                valid_everywhere,
            )
            for queries, keys in ((video, audio_keys), (audio, video_keys))
        ]
        accuracy = contrast_accuracy(video, audio_keys, valid, valid_everywhere, rank_offset=rank_offset)
        return (terms[0] + terms[1]) / 2, accuracy

    def metric_descriptions(self) -> dict[str, str]:
        """Returns a sentence on each number."""
        return described(
            "loss", "loss_cross", "loss_within", "loss_space", "loss_time", "accuracy_cross", "audio_share", *MONITORED
        )

    def sizes(self) -> dict[str, int]:
        """Returns the number of windows embedded per video, and of directed comparisons in each part of the loss."""
        windows = len(VIEWS) + sum(len(crops) for crops in self.table.crops)
        return {"windows": windows, "terms_within": len(self.table.terms), "terms_cross": 2 * len(VIEWS)}

    def input_notes(self, params: AVParams) -> dict[str, InputNote]:
        """Returns colors and windows of the views, and the volume of the audio."""
        return notes_of_step(params, self.color, self.table, self.map_shape)

    def comparisons(self, local: Embeddings) -> list[Comparison]:
        """Compares windows with windows, and views with audio."""
        return compared_windows(local, self.table)

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the trunk with pooling head, and the audio tower; their heads give the projected layer."""
        video = VideoEncoder(self.backbone, self.pool, self.color.mean, self.color.std, self.video_head)
        return {"video": video, "audio": AudioEncoder(self.log_mel, self.audio_tower, self.audio_head)}


def _check_loss(cross_modal_weight: float, smallest_temperature: float) -> None:
    if not 0 < cross_modal_weight <= 1:
        raise UsageError(f"CONTRASTIVE.CROSS_MODAL_WEIGHT: expected 0 < a <= 1, got {cross_modal_weight}")
    if smallest_temperature <= 0:
        raise UsageError("CONTRASTIVE.TEMPERATURE and CONTRASTIVE.TEMPERATURE_WITHIN must be positive")
