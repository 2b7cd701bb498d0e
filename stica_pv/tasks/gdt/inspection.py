"""What a person may see of a step of GDT: how each version was made, and which versions its loss compares."""

from collections.abc import Sequence

from torch import Tensor

from stica_pv.losses import VersionTerm
from stica_pv.structures import Comparison, Embeddings, InputNote
from stica_pv.tasks.gdt.terms import REVERSED, time_of
from stica_pv.tasks.stica.inspection import photometry_note, volume_in_words
from stica_pv.transforms import PhotometryPlan, PhotometrySettings, SpecAugmentPlan


def notes_of_versions(
    versions: Sequence[str],
    colours: Sequence[PhotometryPlan],
    volumes: Sequence[Tensor],
    masks: Sequence[SpecAugmentPlan],
    settings: PhotometrySettings,
) -> dict[str, InputNote]:
    """Colours of the pictures of each version, volume and masks of its sound, which is made of that of its time."""
    notes = {}
    for version, colour, volume, mask in zip(versions, colours, volumes, masks, strict=True):
        notes[f"video {version}"] = photometry_note(version, colour, settings)
        words = zip(volume_in_words(volume), [mask.in_words(row) for row in range(len(volume))], strict=True)
        is_reversed = version.endswith(REVERSED)
        changes = tuple(map(", ".join, words))
        notes[f"log_mel {version}"] = InputNote(
            time_of(version), reversed=is_reversed, changes=changes, encoder="audio"
        )
    return notes


def compared_versions(local: Embeddings, versions: Sequence[str], terms: Sequence[VersionTerm]) -> list[Comparison]:
    """Pictures with sound, in the pairs of versions that a term calls positive."""
    return [
        Comparison(f"pictures {versions[one]}", f"sound {versions[two]}", local["video"][one] @ local["audio"][two].mT)
        for one, two in dict.fromkeys((term.query, term.positive) for term in terms)
    ]
