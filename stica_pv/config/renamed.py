"""Renamed keys and values: a command with an old key is refused with the new one, stored files are translated."""

from collections.abc import Iterable
from typing import Any

RENAMED_KEYS: dict[str, str] = {
    "AUDIO.BANDS": "AUDIO.NUM_MEL_BINS",
    "AUDIO.FFT_SIZE": "AUDIO.N_FFT",
    "AUDIO.HOP_SECONDS": "AUDIO.HOP_LENGTH_SECONDS",
    "AUDIO.WINDOW_SECONDS": "AUDIO.WIN_LENGTH_SECONDS",
    "CONTRASTIVE.T": "CONTRASTIVE.TEMPERATURE",
    "CONTRASTIVE.T_WITHIN": "CONTRASTIVE.TEMPERATURE_WITHIN",
    "CROP.SPACE_LARGE": "CROP.NUM_LARGE_SPATIAL",
    "CROP.SPACE_SIZES": "CROP.SPATIAL_SIZES",
    "CROP.SPACE_SMALL": "CROP.NUM_SMALL_SPATIAL",
    "CROP.TIME_LARGE": "CROP.NUM_LARGE_TEMPORAL",
    "CROP.TIME_SIZES": "CROP.TEMPORAL_SIZES",
    "CROP.TIME_SMALL": "CROP.NUM_SMALL_TEMPORAL",
    "CVRL.SOLARISE_PROBS": "CVRL.SOLARIZE_PROBS",
    "DATA.PHOTOMETRY": "DATA.COLOR_STYLE",
    "DATA.SHUFFLE_SOUND": "DATA.SHUFFLE_AUDIO",
    "DIST.CONNECT_MINUTES": "DIST.RENDEZVOUS_TIMEOUT_MINUTES",
    "DIST.HANG_MINUTES": "DIST.STEP_TIMEOUT_MINUTES",
    "DIST.SILENCE_SECONDS": "DIST.HEARTBEAT_TIMEOUT_SECONDS",
    "TEST.FEW_SHOT.COST": "TEST.FEW_SHOT.C",
    "TEST.PROCESSING": "TEST.FEATURE_NORM",
    "TEST.SVM.COSTS": "TEST.SVM.C",
    "TEST.SVM.STANDARDISE": "TEST.SVM.STANDARDIZE",
    "TRAIN.CHUNK_SIZE": "TRAIN.GRAD_CACHE_CHUNK",
}
RENAMED_VALUES: dict[str, dict[str, str]] = {
    "AUDIO.LOG_MEL": {"clean": "htk"},
    "TEST.FEATURE_NORM": {"centred": "centered", "standardised": "standardized"},
}


def with_present_names(settings: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Returns the keys and values of a stored configuration, such as a checkpoint's, under their present names."""
    return [(key, _present(key, value)) for key, value in ((RENAMED_KEYS.get(key, key), v) for key, v in settings)]


def _present(key: str, value: Any) -> Any:
    if key == "OVERRIDES" and isinstance(value, list):
        return [RENAMED_KEYS.get(item, item) for item in value]
    renamed = RENAMED_VALUES.get(key)
    return renamed.get(value, value) if renamed is not None and isinstance(value, str) else value
