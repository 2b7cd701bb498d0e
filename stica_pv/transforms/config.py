"""Configuration keys of the transforms of frames and audio, and their translation into transforms."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, declare_limits, one_of
from stica_pv.errors import UsageError
from stica_pv.transforms.color_params import ColorSettings
from stica_pv.transforms.log_mel import STYLES, LogMel, create_log_mel
from stica_pv.transforms.spatial import CROP_STYLES, RandomResizedCrop, RandomShortSideCrop


def add_transform_config(cfg: CfgNode) -> None:
    """Declares the augmentation keys of DATA and the spectrogram keys of AUDIO."""
    data = section(cfg, "DATA")
    data.NUM_FRAMES = 30
    data.TARGET_FPS = 30.0
    data.TRAIN_CROP_SIZE = 112
    data.TRAIN_JITTER_SCALES_RELATIVE = [0.14, 1.0]  # area share of random resized crops; []: TRAIN_JITTER_SCALES
    data.TRAIN_JITTER_ASPECT_RELATIVE = [0.75, 1.3333]
    data.TRAIN_JITTER_SCALES = [128, 160]  # short side in pixels before a plain random crop
    data.CROP_LAST_OFFSET = True  # whether a plain random crop can have the last position; the release never sampled it
    data.CROP_STYLE = (
        "torchvision"  # torchvision | tf: how random resized crops sample area and shape; tf as released by CVRL, BraVe
    )
    data.RANDOM_FLIP = True  # horizontal, for half of the clips
    data.ANTIALIAS = True  # when resizing; the release had none
    data.COLOR_JITTER_PROB = 0.8
    data.SSL_COLOR_BRI_CON_SAT = [0.4, 0.4, 0.4]
    data.SSL_COLOR_HUE = 0.2  # share of the color circle; for CVRL and BraVe
    data.COLOR_RND_GRAYSCALE = 0.2
    data.BLUR_PROB = 0.5
    data.BLUR_SIGMA = [0.1, 2.0]
    data.BLUR_KERNEL = 11  # taps, odd; 0: a tenth of the crop size, made odd: 11 at 112 px, 23 at 224 px
    data.MEAN = [0.45, 0.45, 0.45]
    data.STD = [0.225, 0.225, 0.225]
    data.COLOR_STYLE = "intended"  # intended | released: order, clipping, gray weights, blur

    audio = section(cfg, "AUDIO")
    audio.SAMPLE_RATE = 24000
    audio.LOG_MEL = "htk"  # htk (triangles of the HTK mel scale) | released | brave
    audio.NUM_MEL_BINS = 257
    audio.WIN_LENGTH_SECONDS = 0.02
    audio.HOP_LENGTH_SECONDS = 0.01
    audio.N_FFT = 4096
    audio.MEAN = 0.0
    audio.STD = 1.0
    audio.VOLUME_JITTER = 0.1  # factor U(1 - v, 1 + v)


def normalization_is_chosen(cfg: CfgNode) -> bool:
    """Returns whether DATA.MEAN or DATA.STD is on the command line, or differs from its default."""
    declared = CfgNode()
    add_transform_config(declared)
    return any(f"DATA.{key}" in cfg.OVERRIDES or cfg.DATA[key] != declared.DATA[key] for key in ("MEAN", "STD"))


def _pair(cfg: CfgNode, section_name: str, key: str) -> tuple[float, float]:
    values = cfg[section_name][key]
    if len(values) != 2 or values[0] > values[1] or values[0] < 0:
        raise UsageError(f"{section_name}.{key}: expected [low, high] with 0 <= low <= high, got {values}")
    return values[0], values[1]


def blur_taps(kernel: int, size: int) -> int:
    """Returns the taps of a blur: `kernel`, or a tenth of the side of a clip, made odd, if it is 0.

    This is the rule of SimCLR's, CVRL's and BraVe's code (integer division); STiCA's 11 taps at 112 px follow it.
    """
    return kernel or size // 10 | 1


def spatial_from_config(cfg: CfgNode) -> RandomResizedCrop | RandomShortSideCrop:
    """Builds the random crop of training."""
    flip_prob = 0.5 if cfg.DATA.RANDOM_FLIP else 0.0
    if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE:
        area = _pair(cfg, "DATA", "TRAIN_JITTER_SCALES_RELATIVE")
        if not 0 < area[0] <= area[1] <= 1:
            raise UsageError(
                f"DATA.TRAIN_JITTER_SCALES_RELATIVE: expected shares of the area in (0, 1], got {list(area)}"
            )
        aspect = _pair(cfg, "DATA", "TRAIN_JITTER_ASPECT_RELATIVE")
        return RandomResizedCrop(
            area=area, aspect=aspect, flip_prob=flip_prob, antialias=cfg.DATA.ANTIALIAS, style=cfg.DATA.CROP_STYLE
        )
    low, high = _pair(cfg, "DATA", "TRAIN_JITTER_SCALES")
    if low < cfg.DATA.TRAIN_CROP_SIZE:
        raise UsageError(f"DATA.TRAIN_JITTER_SCALES: {low} px is less than DATA.TRAIN_CROP_SIZE; increase it")
    return RandomShortSideCrop(
        short_side=(int(low), int(high)),
        flip_prob=flip_prob,
        antialias=cfg.DATA.ANTIALIAS,
        last_offset=cfg.DATA.CROP_LAST_OFFSET,
    )


def color_from_config(cfg: CfgNode) -> ColorSettings:
    """Builds the settings of the color augmentation."""
    data = cfg.DATA
    for key in ("SSL_COLOR_BRI_CON_SAT", "MEAN", "STD"):
        if len(data[key]) != 3:
            raise UsageError(f"DATA.{key}: expected three numbers, got {data[key]}")
    for key in ("COLOR_JITTER_PROB", "COLOR_RND_GRAYSCALE", "BLUR_PROB"):
        if not 0 <= data[key] <= 1:
            raise UsageError(f"DATA.{key}: expected a probability from 0 to 1, got {data[key]}")
    brightness, contrast, saturation = data.SSL_COLOR_BRI_CON_SAT
    return ColorSettings(
        jitter_prob=data.COLOR_JITTER_PROB,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        gray_prob=data.COLOR_RND_GRAYSCALE,
        blur_prob=data.BLUR_PROB,
        blur_sigma=_pair(cfg, "DATA", "BLUR_SIGMA"),
        blur_kernel=blur_taps(data.BLUR_KERNEL, data.TRAIN_CROP_SIZE),
        mean=tuple(data.MEAN),
        std=tuple(data.STD),
        style=data.COLOR_STYLE,
    )


def log_mel_from_config(cfg: CfgNode) -> LogMel:
    """Builds the spectrogram."""
    audio = cfg.AUDIO
    return create_log_mel(
        style=audio.LOG_MEL,
        sample_rate_hz=audio.SAMPLE_RATE,
        bands=audio.NUM_MEL_BINS,
        window_seconds=audio.WIN_LENGTH_SECONDS,
        hop_seconds=audio.HOP_LENGTH_SECONDS,
        fft_size=audio.N_FFT,
        mean=audio.MEAN,
        std=audio.STD,
    )


declare_limits(
    {
        "DATA.NUM_FRAMES": AT_LEAST_ONE,
        "DATA.TARGET_FPS": Limits(above=0, high=1000),
        "DATA.TRAIN_CROP_SIZE": Limits(low=8),
        "DATA.TRAIN_JITTER_SCALES_RELATIVE": Limits(above=0, high=1),
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE": Limits(above=0, count=2, ordered=True),
        "DATA.TRAIN_JITTER_SCALES": Limits(low=8, count=2, ordered=True),
        "DATA.CROP_STYLE": one_of(*CROP_STYLES),
        "DATA.COLOR_JITTER_PROB": SHARE,
        "DATA.SSL_COLOR_BRI_CON_SAT": Limits(low=0, count=3),
        "DATA.SSL_COLOR_HUE": Limits(low=0, high=0.5),
        "DATA.COLOR_RND_GRAYSCALE": SHARE,
        "DATA.BLUR_PROB": SHARE,
        "DATA.BLUR_SIGMA": Limits(above=0, count=2, ordered=True),
        "DATA.BLUR_KERNEL": NOT_NEGATIVE,
        "DATA.MEAN": Limits(count=3),
        "DATA.STD": Limits(above=0, count=3),
        "DATA.COLOR_STYLE": one_of("intended", "released"),
        "AUDIO.SAMPLE_RATE": Limits(low=1000, high=192000),
        "AUDIO.LOG_MEL": one_of(*STYLES),
        "AUDIO.NUM_MEL_BINS": AT_LEAST_ONE,
        "AUDIO.WIN_LENGTH_SECONDS": Limits(above=0, high=1),
        "AUDIO.HOP_LENGTH_SECONDS": Limits(above=0, high=1),
        "AUDIO.N_FFT": AT_LEAST_ONE,
        "AUDIO.STD": POSITIVE,
        "AUDIO.VOLUME_JITTER": Limits(low=0, high=0.99),
    }
)
