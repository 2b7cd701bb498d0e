"""Display metadata of a STiCA step: how its inputs were made, its windows, and what its loss compares."""

from torch import Tensor

from stica_pv.models import boxes_of
from stica_pv.models.feature_crop import MapShape
from stica_pv.structures import Comparison, CropPlan, Embeddings, FeatureWindow, InputNote
from stica_pv.tasks.stica.av_params import AUDIO, VIEWS, AVParams
from stica_pv.tasks.stica.crop_terms import CropTable
from stica_pv.transforms import ColorParams, ColorSettings


def color_note(
    view: str, params: ColorParams, settings: ColorSettings, windows: tuple[FeatureWindow, ...] = ()
) -> InputNote:
    """Describes frames with color augmentation that are inputs of the evaluated encoder."""
    changes = tuple(params.describe(row) for row in range(len(params.gray)))
    return InputNote(view, settings.mean, settings.std, changes=changes, windows=windows, encoder="video")


def describe_volume(volume: Tensor) -> tuple[str, ...]:
    """Describes the factors (B,) on the audio."""
    return tuple(f"volume × {factor:.2f}" for factor in volume.tolist())


def notes_of_step(
    params: AVParams, settings: ColorSettings, table: CropTable, map_shape: MapShape
) -> dict[str, InputNote]:
    """Returns colors and windows of both views, and the volume of the audio."""
    notes = {
        name: color_note(name, color, settings, _windows(crops, table.names(view), map_shape))
        for view, (name, color, crops) in enumerate(zip(VIEWS, params.color, params.crops, strict=True))
    }
    return notes | {"log_mel": InputNote(AUDIO, changes=describe_volume(params.volume), encoder="audio")}


def _windows(crops: CropPlan, names: list[str], map_shape: MapShape) -> tuple[FeatureWindow, ...]:
    cells = boxes_of(crops, map_shape)
    return tuple(FeatureWindow(name, cells[..., i, :, :], map_shape) for i, name in enumerate(names) if i)


def compared_windows(local: Embeddings, table: CropTable) -> list[Comparison]:
    """Returns every pair of windows that the loss compares, and both views with the audio."""
    windows = local["windows"]
    names = [f"{view}, {name}" for number, view in enumerate(VIEWS) for name in table.names(number)]
    found = [
        Comparison(names[query], names[key], windows[query] @ windows[key].mT)
        for query, key in zip(table.terms.queries, table.terms.keys, strict=True)
    ]
    whole = range(len(names))[table.whole]
    return found + [Comparison(names[i], "audio", windows[i] @ local["audio"][0].mT) for i in whole]
