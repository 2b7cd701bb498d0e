"""What a person may see of a step of STiCA: how its inputs were made, its windows, and what its loss compares."""

from torch import Tensor

from stica_pv.models import boxes_of
from stica_pv.models.feature_crop import MapShape
from stica_pv.structures import Comparison, CropPlan, Embeddings, FeatureWindow, InputNote
from stica_pv.tasks.stica.av_plan import SOUND, VIEWS, AVPlan
from stica_pv.tasks.stica.crop_terms import CropTable
from stica_pv.transforms import PhotometryPlan, PhotometrySettings


def photometry_note(
    view: str, plan: PhotometryPlan, settings: PhotometrySettings, windows: tuple[FeatureWindow, ...] = ()
) -> InputNote:
    """Tells of pictures that were coloured by a plan, and pass the evaluated encoder."""
    changes = tuple(plan.in_words(row) for row in range(len(plan.gray)))
    return InputNote(view, settings.mean, settings.std, changes=changes, windows=windows, encoder="video")


def volume_in_words(volume: Tensor) -> tuple[str, ...]:
    """Factors (B,) on the sound, for a person."""
    return tuple(f"volume × {factor:.2f}" for factor in volume.tolist())


def notes_of_step(
    plan: AVPlan, settings: PhotometrySettings, table: CropTable, map_shape: MapShape
) -> dict[str, InputNote]:
    """Colours and windows of both views, volume of the sound."""
    notes = {
        name: photometry_note(name, photometry, settings, _windows(crops, table.names(view), map_shape))
        for view, (name, photometry, crops) in enumerate(zip(VIEWS, plan.photometry, plan.crops, strict=True))
    }
    return notes | {"log_mel": InputNote(SOUND, changes=volume_in_words(plan.volume), encoder="audio")}


def _windows(crops: CropPlan, names: list[str], map_shape: MapShape) -> tuple[FeatureWindow, ...]:
    cells = boxes_of(crops, map_shape)
    return tuple(FeatureWindow(name, cells[..., i, :, :], map_shape) for i, name in enumerate(names) if i)


def compared_windows(local: Embeddings, table: CropTable) -> list[Comparison]:
    """Every pair of windows that the loss compares, and both views with the sound."""
    windows = local["windows"]
    names = [f"{view}, {name}" for number, view in enumerate(VIEWS) for name in table.names(number)]
    found = [
        Comparison(names[query], names[key], windows[query] @ windows[key].mT)
        for query, key in zip(table.terms.queries, table.terms.keys, strict=True)
    ]
    whole = range(len(names))[table.whole]
    return found + [Comparison(names[i], "sound", windows[i] @ local["audio"][0].mT) for i in whole]
