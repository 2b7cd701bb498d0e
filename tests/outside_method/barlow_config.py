"""The keys of the method, and its builder; a recipe names this module in CUSTOM_IMPORTS."""

from barlow_task import Barlow

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import POSITIVE
from stica_pv.config.roles import NETWORK
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks import AudioEncoder, VideoEncoder
from stica_pv.tasks.stica.config import clip_from_config
from stica_pv.transforms.config import log_mel_from_config

declare_task("barlow", "Barlow Twins between video and audio")
declare_keys(
    __name__,
    "BARLOW",
    NETWORK,
    Key("REDUNDANCY_WEIGHT", 0.005, "Weight of the redundancy term, lambda in the paper.", POSITIVE),
    task="barlow",
)


@TASKS.named("barlow")
def barlow_from_config(cfg: CfgNode) -> Barlow:
    clip, backbone, tower = clip_from_config(cfg), backbone_from_config(cfg), audio_encoder_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=clip.frames, size=clip.size)[0])
    mean, std = tuple(cfg.DATA.MEAN), tuple(cfg.DATA.STD)
    video = VideoEncoder(backbone, pool, mean, std, head_from_config(cfg, pool.out_dim))
    audio = AudioEncoder(log_mel_from_config(cfg), tower, head_from_config(cfg, tower.out_channels))
    return Barlow(clip, video, audio, cfg.BARLOW.REDUNDANCY_WEIGHT)
