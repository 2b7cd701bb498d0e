"""Display metadata of a GDT step: how each version was made, and which versions its loss compares."""

from collections.abc import Sequence

from torch import Tensor

from stica_pv.losses import TransformationPair
from stica_pv.structures import Comparison, Embeddings, InputNote
from stica_pv.tasks.gdt.terms import REVERSED, time_of
from stica_pv.tasks.stica.inspection import color_note, describe_volume
from stica_pv.transforms import ColorParams, ColorSettings, SpecAugmentParams


def notes_of_versions(
    versions: Sequence[str],
    colors: Sequence[ColorParams],
    volumes: Sequence[Tensor],
    masks: Sequence[SpecAugmentParams],
    settings: ColorSettings,
) -> dict[str, InputNote]:
    """Returns colors of the frames of each version, and volume and masks of its audio (made from that of its time)."""
    notes = {}
    for version, color, volume, mask in zip(versions, colors, volumes, masks, strict=True):
        notes[f"video {version}"] = color_note(version, color, settings)
        descriptions = zip(describe_volume(volume), [mask.describe(row) for row in range(len(volume))], strict=True)
        is_reversed = version.endswith(REVERSED)
        changes = tuple(map(", ".join, descriptions))
        notes[f"log_mel {version}"] = InputNote(
            time_of(version), reversed=is_reversed, changes=changes, encoder="audio"
        )
    return notes


def compared_versions(
    local: Embeddings, versions: Sequence[str], terms: Sequence[TransformationPair]
) -> list[Comparison]:
    """Compares frames with audio, for the positive pairs of versions."""
    return [
        Comparison(f"frames {versions[one]}", f"audio {versions[two]}", local["video"][one] @ local["audio"][two].mT)
        for one, two in dict.fromkeys((term.query, term.positive) for term in terms)
    ]
