"""GDT: contrast of video and audio over transformed versions of each sample (arXiv 2003.04298, ICCV 2021).

Of each video one or two times are taken, played forwards and backwards; a hypothesis says to which of these changes the
representation shall be blind and which it shall tell apart. Video and text, the paper's other pair, are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import generator
from stica_pv.losses import VersionContrast, contrast_accuracy, normalize
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
from stica_pv.tasks.base import Inputs, Plan, Task
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.gdt.inspection import compared_versions, notes_of_versions
from stica_pv.tasks.gdt.terms import REVERSED, REVERSED_AUDIO, terms_of, time_of, versions_of
from stica_pv.tasks.monitors import collapse_monitors
from stica_pv.tasks.stica.av_plan import ClipSettings
from stica_pv.tasks.windows import independent_windows
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


@dataclass(frozen=True)
class GDTPlan(Plan):
    """Random choices of a step, one entry a version.

    Attributes:
        color: Parameters of the frames.
        volume: (B,) factors on the audio.
        masks: Masks on the spectrogram.
    """

    color: tuple[ColorParams, ...]
    volume: tuple[Tensor, ...]
    masks: tuple[SpecAugmentParams, ...]

    def rows(self, part: slice) -> "GDTPlan":
        """Returns what `GDT.embed` needs: nothing, all choices are spent in `GDT.prepare`."""
        return GDTPlan((), (), ())

    def to(self, device: torch.device) -> "GDTPlan":
        """Returns the plan on `device`."""
        return GDTPlan(
            tuple(color.to(device) for color in self.color),
            tuple(volume.to(device, non_blocking=True) for volume in self.volume),
            tuple(masks.to(device) for masks in self.masks),
        )


class GDT(Task):
    """GDT's networks and loss; the versions that its hypothesis does not compare are not read."""

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
        """Composes the task of its parts.

        Args:
            clip: What is read at each time.
            color: Color augmentation, drawn anew for each version.
            volume_jitter: Spread v of the volume factor U(1 - v, 1 + v).
            spec_augment: Strength of the masks on the spectrogram: none, mild, medium or heavy.
            backbone: Trunk that gives (B, C, T', H', W').
            pool: Pooling head; the paper averages.
            video_head: Projection of (V, B, ·) groups to the embedding.
            log_mel: Spectrogram.
            bands: Its mel bands.
            audio_tower: Network from spectrogram to vector.
            audio_head: Projection of the audio vectors.
            audio_min_valid: Share of a clip's audio that must be real for it to be compared.
            hypothesis: ``h1`` to ``h9``.
            negatives: ``intended``, or ``released``: see `gdt_terms.terms_of` and `VersionContrast`.
            reversed_audio: ``own``: a reversal draws its volume and its masks; ``mirrored``: it has those of its time.
            temperature: t.
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
        self.contrast = VersionContrast(
            self.terms, temperature=temperature, near="process" if negatives == "released" else "sample"
        )
        self._audio_frames = log_mel.frames(round(clip.seconds * clip.audio_rate_hz))

    def views(self) -> Views:
        """One view a version; a time and its reversal share a window, whose audio comes with the time."""
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

    def draw(self, keys: StepKeys) -> GDTPlan:
        """Draws color, volume and masks by sample and version."""

        def rngs(purpose: str, names: Sequence[str]) -> list[list[torch.Generator]]:
            return [
                [generator(f"{purpose} {name}", keys.seed, keys.epoch, index) for index in keys.indices]
                for name in names
            ]

        audible = [time_of(version) if self.mirrors_audio else version for version in self.versions]
        return GDTPlan(
            tuple(sample_color(each, self.color) for each in rngs("photometry", self.versions)),
            tuple(sample_volume(each, self.volume_jitter) for each in rngs("volume", audible)),
            tuple(map(self._draw_masks, rngs("spec_augment", audible), self.versions)),
        )

    def _draw_masks(self, rngs: list[torch.Generator], version: str) -> SpecAugmentParams:
        masks = sample_spec_augment(rngs, self.spec_augment, bands=self.bands, columns=self._audio_frames)
        mirrored = self.mirrors_audio and version.endswith(REVERSED)
        return masks.mirrored(self._audio_frames) if mirrored else masks

    def prepare(self, batch: Batch, plan: GDTPlan) -> Inputs:
        """Colors the frames and makes the spectrograms; a reversal's is the flipped one of its time."""
        inputs = {}
        for version, color, volume, masks in zip(self.versions, plan.color, plan.volume, plan.masks, strict=True):
            inputs[f"video {version}"] = apply_color(batch.video[version], color, self.color)
            log_mel = self.log_mel(batch.audio[time_of(version)], volume)
            log_mel = log_mel.flip(-1) if version.endswith(REVERSED) else log_mel
            inputs[f"log_mel {version}"] = apply_spec_augment(log_mel, masks)
        shares = torch.stack([share for share in batch.audio_valid.values()])
        inputs["audio_valid"] = (shares.amin(dim=0) >= self.audio_min_valid).float()
        return inputs

    def embed(self, inputs: Inputs, plan: GDTPlan) -> Embeddings:
        """Embeds every version; each passes the networks by itself, so that batch-norm sees one version at a time.

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
        """The hypothesis' weighted mean of its comparisons."""
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

    def negatives(self, batch_size: int) -> int:
        """Keys besides the positive, of the comparison that has most."""
        return max(sum(term.near) + sum(term.far) * (batch_size - 1) - 1 for term in self.terms)

    def facts(self) -> dict[str, int]:
        """Versions of a video, and directed comparisons of the loss."""
        return {"versions": len(self.versions), "terms": 2 * len(self.terms)}

    def input_notes(self, plan: GDTPlan) -> dict[str, InputNote]:
        """Colors of the frames, volume and masks of the audio, version by version."""
        return notes_of_versions(self.versions, plan.color, plan.volume, plan.masks, self.color)

    def comparisons(self, local: Embeddings) -> list[Comparison]:
        """Frames with audio, in the pairs of versions that a term calls positive."""
        return compared_versions(local, self.versions, self.terms)

    def encoders(self) -> dict[str, nn.Module]:
        """Trunk with pooling head, and audio tower; their projection heads are a layer that can be asked for."""
        video = VideoEncoder(self.backbone, self.pool, self.color.mean, self.color.std, self.video_head)
        return {"video": video, "audio": AudioEncoder(self.log_mel, self.audio_tower, self.audio_head)}
