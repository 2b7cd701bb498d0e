"""Configuration keys of the transforms of frames and audio, and their translation into transforms."""

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, default_of
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import CLIP, NETWORK
from stica_pv.errors import UsageError
from stica_pv.transforms.color_params import COLOR_STYLES, ColorSettings
from stica_pv.transforms.log_mel import STYLES, LogMel, create_log_mel
from stica_pv.transforms.spatial import CROP_STYLES, RandomResizedCrop, RandomShortSideCrop

declare_keys(
    __name__,
    "DATA",
    CLIP,
    Key("NUM_FRAMES", 30, "Number of frames per clip.", AT_LEAST_ONE),
    Key("TARGET_FPS", 30.0, "Frames per second of a clip.", Limits(above=0, high=1000)),
    Key("TRAIN_CROP_SIZE", 112, "Side of a training clip in pixels.", Limits(low=8)),
    Key(
        "TRAIN_JITTER_SCALES_RELATIVE",
        [0.14, 1.0],
        "Range of the area of a random resized crop as a share of the frame; [] crops as TRAIN_JITTER_SCALES says.",
        Limits(above=0, high=1, count=2, ordered=True, or_empty=True),
    ),
    Key(
        "TRAIN_JITTER_ASPECT_RELATIVE",
        [0.75, 1.3333],
        "Range of the aspect ratio of a random resized crop.",
        Limits(above=0, count=2, ordered=True),
    ),
    Key(
        "TRAIN_JITTER_SCALES",
        [128, 160],
        "Range of the short side in pixels before a plain random crop, if TRAIN_JITTER_SCALES_RELATIVE is [].",
        Limits(low=8, count=2, ordered=True),
    ),
    Key(
        "CROP_LAST_OFFSET",
        True,
        "Whether a plain random crop can have the last position, which the released code never samples.",
    ),
    Key(
        "CROP_STYLE",
        "torchvision",
        "How random resized crops sample area and shape; tf is what CVRL and BraVe released.",
        one_of(*CROP_STYLES),
    ),
    Key("RANDOM_FLIP", True, "Whether half of the clips are flipped horizontally."),
    Key("ANTIALIAS", True, "Whether resizing filters against aliasing, which the released code does not."),
    Key("COLOR_JITTER_PROB", 0.8, "Probability of color jitter.", SHARE),
    Key(
        "SSL_COLOR_BRI_CON_SAT",
        [0.4, 0.4, 0.4],
        "Strength of the jitter of brightness, contrast and saturation.",
        Limits(low=0, count=3),
    ),
    Key(
        "SSL_COLOR_HUE",
        0.2,
        "Strength of the jitter of hue as a share of the color circle.",
        Limits(low=0, high=0.5),
    ),
    Key("COLOR_RND_GRAYSCALE", 0.2, "Probability that a clip becomes gray.", SHARE),
    Key("BLUR_PROB", 0.5, "Probability of a Gaussian blur.", SHARE),
    Key(
        "BLUR_SIGMA",
        [0.1, 2.0],
        "Range of the standard deviation of the blur in pixels.",
        Limits(above=0, count=2, ordered=True),
    ),
    Key(
        "BLUR_KERNEL",
        11,
        "Width of the blur kernel in pixels, odd; 0 takes a tenth of the crop size, made odd: 11 at 112 px.",
        NOT_NEGATIVE,
    ),
    Key("MEAN", [0.45, 0.45, 0.45], "Mean of each color channel, subtracted in normalization.", Limits(count=3)),
    Key(
        "STD",
        [0.225, 0.225, 0.225],
        "Standard deviation of each color channel, divided by in normalization.",
        Limits(above=0, count=3),
    ),
    Key(
        "COLOR_STYLE",
        "intended",
        "Order, clipping, gray weights and blur of the color augmentation: as the paper intends, or as released.",
        one_of(*COLOR_STYLES),
    ),
)
declare_keys(
    __name__,
    "AUDIO",
    NETWORK,
    Key("SAMPLE_RATE", 24000, "Sample rate of the audio in Hz.", Limits(low=1000, high=192000)),
    Key(
        "LOG_MEL",
        "htk",
        "Definition of the spectrogram: htk is triangles of the HTK mel scale; released and brave follow these codes.",
        one_of(*STYLES),
    ),
    Key("NUM_MEL_BINS", 257, "Number of mel bins of the spectrogram.", AT_LEAST_ONE),
    Key("WIN_LENGTH_SECONDS", 0.02, "Length of the Fourier window in seconds.", Limits(above=0, high=1)),
    Key("HOP_LENGTH_SECONDS", 0.01, "Distance of Fourier windows in seconds.", Limits(above=0, high=1)),
    Key("N_FFT", 4096, "Length of the Fourier transform in samples.", AT_LEAST_ONE),
    Key("MEAN", 0.0, "Mean of the spectrogram, subtracted in normalization."),
    Key("STD", 1.0, "Standard deviation of the spectrogram, divided by in normalization.", POSITIVE),
    Key(
        "VOLUME_JITTER",
        0.1,
        "Strength v of the volume augmentation: a factor from 1 - v to 1 + v.",
        Limits(low=0, high=0.99),
    ),
)


def normalization_is_chosen(cfg: CfgNode) -> bool:
    """Returns whether DATA.MEAN or DATA.STD is on the command line, or differs from its default."""
    return any(
        key in cfg.OVERRIDES or value != default_of(key)
        for key, value in (("DATA.MEAN", cfg.DATA.MEAN), ("DATA.STD", cfg.DATA.STD))
    )


def blur_taps(kernel: int, size: int) -> int:
    """Returns the taps of a blur: `kernel`, or a tenth of the side of a clip, made odd, if it is 0.

    This is the rule of SimCLR's, CVRL's and BraVe's code (integer division); STiCA's 11 taps at 112 px follow it.
    """
    return kernel or size // 10 | 1


def spatial_from_config(cfg: CfgNode) -> RandomResizedCrop | RandomShortSideCrop:
    """Builds the random crop of training."""
    flip_prob = 0.5 if cfg.DATA.RANDOM_FLIP else 0.0
    if cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE:
        return RandomResizedCrop(
            area=tuple(cfg.DATA.TRAIN_JITTER_SCALES_RELATIVE),
            aspect=tuple(cfg.DATA.TRAIN_JITTER_ASPECT_RELATIVE),
            flip_prob=flip_prob,
            antialias=cfg.DATA.ANTIALIAS,
            style=cfg.DATA.CROP_STYLE,
        )
    low, high = cfg.DATA.TRAIN_JITTER_SCALES
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
    brightness, contrast, saturation = data.SSL_COLOR_BRI_CON_SAT
    return ColorSettings(
        jitter_prob=data.COLOR_JITTER_PROB,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        gray_prob=data.COLOR_RND_GRAYSCALE,
        blur_prob=data.BLUR_PROB,
        blur_sigma=tuple(data.BLUR_SIGMA),
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
