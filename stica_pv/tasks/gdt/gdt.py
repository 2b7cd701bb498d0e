"""GDT: contrast of video and audio over transformed versions of each sample (arXiv 2003.04298, ICCV 2021).

One or two windows of each video are read, forwards and backwards. A hypothesis defines to which of these changes the
representation is invariant and which it distinguishes. Video and text, the paper's other pair, are not implemented.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import generator
from stica_pv.losses import TransformationPairContrast, contrast_accuracy, normalize
from stica_pv.models import Pooling
from stica_pv.structures import (
    AudioSpec,
    Batch,
    Comparison,
    Embeddings,
    InputNote,
    LossTerms,
    StepKeys,
    Views,
    ViewSpec,
)
from stica_pv.tasks.base import AugmentationParams, Inputs, Task
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.gdt.inspection import compared_versions, notes_of_versions
from stica_pv.tasks.gdt.terms import REVERSED, REVERSED_AUDIO, terms_of, time_of, versions_of
from stica_pv.tasks.monitors import MONITORED, collapse_monitors, described
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.transforms import (
    ColorParams,
    ColorSettings,
    LogMel,
    SpecAugmentParams,
    apply_color,
    apply_spec_augment,
    sample_color,
    sample_spec_augment,
    sample_volume,
)
from stica_pv.transforms.windows import independent_windows


@dataclass(frozen=True)
class GDTParams(AugmentationParams):
    """Random choices of a step, one entry per version.

    Attributes:
        color: Color parameters of the frames.
        volume: Factors on the audio, (B,).
        masks: Masks on the spectrogram.
    """

    color: tuple[ColorParams, ...]
    volume: tuple[Tensor, ...]
    masks: tuple[SpecAugmentParams, ...]

    def rows(self, part: slice) -> "GDTParams":
        """Returns empty parameters: `GDT.prepare` has applied all choices before `GDT.embed`."""
        return GDTParams((), (), ())


class GDT(Task):
    """GDT's networks and loss; only versions that the hypothesis compares are read."""

    def __init__(
        self,
        *,
        clip: ClipSettings,
        color: ColorSettings,
        volume_jitter: float,
        spec_augment: str,
        backbone: nn.Module,
        pool: Pooling,
        video_head: nn.Module,
        log_mel: LogMel,
        bands: int,
        audio_tower: nn.Module,
        audio_head: nn.Module,
        audio_min_valid: float = 0.5,
        hypothesis: str = "h9",
        negatives: str = "intended",
        reversed_audio: str = "own",
        temperature: float = 0.07,
    ) -> None:
        """Composes the task from its parts.

        Args:
            clip: Clip that is read at each time.
            color: Color augmentation, sampled independently for each version.
            volume_jitter: Spread v of the volume factor U(1 - v, 1 + v).
            spec_augment: Strength of the masks on the spectrogram: none, mild, medium or heavy.
            backbone: Trunk that gives (B, C, T', H', W').
            pool: Pooling head; the paper averages.
            video_head: Projection of (V, B, ·) groups to the embedding.
            log_mel: Spectrogram.
            bands: Number of its mel bands.
            audio_tower: Network from spectrogram to vector.
            audio_head: Projection of the audio vectors.
            audio_min_valid: Share of a clip's audio that must be real for it to be compared.
            hypothesis: Name of the hypothesis, ``h1`` to ``h9``.
            negatives: ``intended`` or ``released``; see `terms.terms_of` and `TransformationPairContrast`.
            reversed_audio: Volume and masks of a reversal: ``own``, or ``mirrored`` from its time.
            temperature: Temperature t > 0.
        """
        super().__init__()
        if clip.silence_allowed:
            raise UsageError("DATA.MISSING_AUDIO silence: every comparison of GDT needs audio; set it to drop")
        if temperature <= 0:
            raise UsageError(f"CONTRASTIVE.TEMPERATURE must be positive, got {temperature}")
        self.clip, self.color, self.volume_jitter = clip, color, volume_jitter
        self.spec_augment, self.bands, self.audio_min_valid = spec_augment, bands, audio_min_valid
        self.backbone, self.pool, self.video_head = backbone, pool, video_head
        self.log_mel, self.audio_tower, self.audio_head = log_mel, audio_tower, audio_head
        self.mirrors_audio = check_choice("GDT.REVERSED_AUDIO", reversed_audio, REVERSED_AUDIO) == "mirrored"
        self.versions = versions_of(hypothesis)
        self.terms = terms_of(hypothesis, negatives)
        self.contrast = TransformationPairContrast(
            self.terms, temperature=temperature, near="process" if negatives == "released" else "sample"
        )
        self._audio_frames = log_mel.frames(round(clip.seconds * clip.audio_rate_hz))

    def views(self) -> Views:
        """Returns one view per version; a time and its reversal share a window, whose audio belongs to the time."""
        clip = self.clip
        times = tuple(dict.fromkeys(time_of(version) for version in self.versions))
        specs = tuple(
            ViewSpec(
                name=version,
                window=time_of(version),
                frames=clip.frames,
                fps=clip.fps,
                size=clip.size,
                transform=clip.transform,
                reversed=version.endswith(REVERSED),
                audio=AudioSpec(clip.audio_rate_hz) if version in times else None,
            )
            for version in self.versions
        )
        windows = independent_windows(times, clip.seconds)
        return Views(specs, windows, min_seconds=clip.seconds, needs_audio=True)

    def sample_params(self, keys: StepKeys) -> GDTParams:
        """Samples color, volume and masks by sample and version."""

        def rngs(purpose: str, names: Sequence[str]) -> list[list[torch.Generator]]:
            return [
                [generator(f"{purpose} {name}", keys.seed, keys.epoch, index) for index in keys.indices]
                for name in names
            ]

        sources = [time_of(version) if self.mirrors_audio else version for version in self.versions]
        return GDTParams(
            tuple(sample_color(each, self.color) for each in rngs("photometry", self.versions)),
            tuple(sample_volume(each, self.volume_jitter) for each in rngs("volume", sources)),
            tuple(map(self._sample_masks, rngs("spec_augment", sources), self.versions)),
        )

    def _sample_masks(self, rngs: list[torch.Generator], version: str) -> SpecAugmentParams:
        masks = sample_spec_augment(rngs, self.spec_augment, bands=self.bands, columns=self._audio_frames)
        mirrored = self.mirrors_audio and version.endswith(REVERSED)
        return masks.mirrored(self._audio_frames) if mirrored else masks

    def prepare(self, batch: Batch, params: GDTParams) -> Inputs:
        """Applies color and computes the spectrograms; that of a reversal is flipped from its time."""
        inputs = {}
        for version, color, volume, masks in zip(self.versions, params.color, params.volume, params.masks, strict=True):
            inputs[f"video {version}"] = apply_color(batch.video[version], color, self.color)
            log_mel = self.log_mel(batch.audio[time_of(version)], volume)
            log_mel = log_mel.flip(-1) if version.endswith(REVERSED) else log_mel
            inputs[f"log_mel {version}"] = apply_spec_augment(log_mel, masks)
        shares = torch.stack([share for share in batch.audio_valid.values()])
        inputs["audio_valid"] = (shares.amin(dim=0) >= self.audio_min_valid).float()
        return inputs

    def embed(self, inputs: Inputs, params: GDTParams) -> Embeddings:
        """Embeds each version in its own pass, so that batch statistics span one version at a time.

        Returns:
            ``video`` and ``audio`` (V, B, D), unit rows in fp32; ``audio_valid`` (1, B, 1), 1 or 0.
        """
        video = torch.stack([self.pool(self.backbone(inputs[f"video {version}"])) for version in self.versions])
        audio = torch.stack([self.audio_tower(inputs[f"log_mel {version}"]) for version in self.versions])
        return {
            "video": normalize(self.video_head(video)),
            "audio": normalize(self.audio_head(audio)),
            "audio_valid": inputs["audio_valid"].view(1, -1, 1),
        }

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Returns the weighted mean of the comparisons of the hypothesis."""
        valid, valid_everywhere = local["audio_valid"][0, :, 0] > 0, gathered["audio_valid"][0, :, 0] > 0
        total = self.contrast(
            (local["video"], local["audio"]),
            (gathered["video"], gathered["audio"]),
            valid,
            valid_everywhere,
            rank_offset=rank_offset,
        )
        accuracy = contrast_accuracy(
            local["video"][0], gathered["audio"][0], valid, valid_everywhere, rank_offset=rank_offset
        )
        scalars = {"loss": total, "accuracy_cross": accuracy, "audio_share": valid.float().mean()}
        scalars |= collapse_monitors(
            (local["video"][0], local["audio"][0]),
            (gathered["video"][0], gathered["audio"][0]),
            valid,
            valid_everywhere,
        )
        return LossTerms(total, {name: value.detach() for name, value in scalars.items()})

    def metric_descriptions(self) -> dict[str, str]:
        """Returns a sentence on each number."""
        return described("loss", "accuracy_cross", "audio_share", *MONITORED)

    def negatives(self, batch_size: int) -> int:
        """Returns the number of keys besides the positive, for the comparison with the most."""
        return max(sum(term.near) + sum(term.far) * (batch_size - 1) - 1 for term in self.terms)

    def sizes(self) -> dict[str, int]:
        """Returns the number of versions of a video, and of directed comparisons in the loss."""
        return {"versions": len(self.versions), "terms": 2 * len(self.terms)}

    def input_notes(self, params: GDTParams) -> dict[str, InputNote]:
        """Returns colors of the frames, volume and masks of the audio, by version."""
        return notes_of_versions(self.versions, params.color, params.volume, params.masks, self.color)

    def comparisons(self, local: Embeddings) -> list[Comparison]:
        """Compares frames with audio, for the positive pairs of versions."""
        return compared_versions(local, self.versions, self.terms)

    def encoders(self) -> dict[str, nn.Module]:
        """Returns the trunk with pooling head, and the audio tower; their heads give the projected layer."""
        video = VideoEncoder(self.backbone, self.pool, self.color.mean, self.color.std, self.video_head)
        return {"video": video, "audio": AudioEncoder(self.log_mel, self.audio_tower, self.audio_head)}
