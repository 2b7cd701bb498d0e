"""Configuration keys of GDT, and the builder of its task; keys shared with STiCA are declared there."""

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import one_of
from stica_pv.config.roles import NETWORK
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.gdt.gdt import GDT
from stica_pv.tasks.gdt.terms import HYPOTHESES, NEGATIVES, REVERSED_AUDIO
from stica_pv.tasks.stica.config import AUDIO_KEYS, clip_from_config
from stica_pv.transforms.config import color_from_config, log_mel_from_config
from stica_pv.transforms.spec_augment import STRENGTHS

declare_task(
    "gdt",
    "GDT: contrast over transformation pairs of video and audio",
    reads=("CONTRASTIVE.TEMPERATURE", *AUDIO_KEYS),
)
declare_keys(
    __name__,
    "GDT",
    NETWORK,
    Key("HYPOTHESIS", "h9", "Hypothesis of the paper: the transformations and their contrasts.", one_of(*HYPOTHESES)),
    Key("NEGATIVES", "intended", "Negatives of a pair, as the paper intends or as released.", one_of(*NEGATIVES)),
    Key("SPEC_AUGMENT", "medium", "Strength of the masks on the spectrogram.", one_of(*STRENGTHS)),
    Key(
        "REVERSED_AUDIO",
        "own",
        "Volume and masks of reversed audio: its own, or mirrored from the forward audio as released.",
        one_of(*REVERSED_AUDIO),
    ),
    task="gdt",
)


@TASKS.named("gdt")
def gdt_from_config(cfg: CfgNode) -> GDT:
    """Builds GDT."""
    clip = clip_from_config(cfg)
    backbone = backbone_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=clip.frames, size=clip.size)[0])
    audio_tower = audio_encoder_from_config(cfg)
    return GDT(
        clip=clip,
        color=color_from_config(cfg),
        volume_jitter=cfg.AUDIO.VOLUME_JITTER,
        spec_augment=cfg.GDT.SPEC_AUGMENT,
        backbone=backbone,
        pool=pool,
        video_head=head_from_config(cfg, pool.out_dim),
        log_mel=log_mel_from_config(cfg),
        bands=cfg.AUDIO.NUM_MEL_BINS,
        audio_tower=audio_tower,
        audio_head=head_from_config(cfg, audio_tower.out_channels),
        audio_min_valid=cfg.AUDIO.MIN_VALID,
        hypothesis=cfg.GDT.HYPOTHESIS,
        negatives=cfg.GDT.NEGATIVES,
        reversed_audio=cfg.GDT.REVERSED_AUDIO,
        temperature=cfg.CONTRASTIVE.TEMPERATURE,
    )
