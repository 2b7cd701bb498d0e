"""Parts that a method of one's own begins with: a clip with its audio as views, and encoders from the configuration."""

from stica_pv.config import CfgNode
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.structures import Views
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.transforms import color_from_config, log_mel_from_config
from stica_pv.transforms.windows import random_clip


def clip_views(clip: ClipSettings, *, names: tuple[str, ...] = ("clip",), audio: bool = True) -> Views:
    """Returns one random window of each video in one or several views; the first has the audio.

    Args:
        clip: Clip to read.
        names: Names of the views in a batch; each is cropped on its own.
        audio: Whether the audio is read as well, and videos without audio are left out.
    """
    return random_clip(
        frames=clip.frames,
        fps=clip.fps,
        size=clip.size,
        sample_rate=clip.audio_rate_hz if audio else None,
        names=names,
        transform=clip.transform,
        audio_required=not clip.silence_allowed,
    )


def create_video_encoder(cfg: CfgNode, clip: ClipSettings) -> VideoEncoder:
    """Builds MODEL, POOL and HEAD: trunk, pooling head and projection head."""
    backbone, color = backbone_from_config(cfg), color_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=clip.frames, size=clip.size)[0])
    return VideoEncoder(backbone, pool, color.mean, color.std, head_from_config(cfg, pool.out_dim))


def create_audio_encoder(cfg: CfgNode) -> AudioEncoder:
    """Builds AUDIO and HEAD: spectrogram, audio tower and projection head."""
    tower = audio_encoder_from_config(cfg)
    return AudioEncoder(log_mel_from_config(cfg), tower, head_from_config(cfg, tower.out_channels))
