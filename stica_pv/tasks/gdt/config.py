"""Configuration keys of GDT, and the builder of its task; keys shared with STiCA are declared there."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import declare_limits, one_of
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.gdt.gdt import GDT
from stica_pv.tasks.gdt.terms import HYPOTHESES, NEGATIVES, REVERSED_AUDIO
from stica_pv.tasks.stica.config import AUDIO_KEYS, clip_from_config
from stica_pv.transforms.config import color_from_config, log_mel_from_config
from stica_pv.transforms.spec_augment import STRENGTHS

GDT_KEYS = ("GDT.", "CONTRASTIVE.TEMPERATURE", *AUDIO_KEYS)


def add_gdt_config(cfg: CfgNode) -> None:
    """Declares GDT."""
    gdt = section(cfg, "GDT")
    gdt.HYPOTHESIS = "h9"  # h1 … h9; see tasks/gdt/terms.py
    gdt.NEGATIVES = "intended"  # intended | released
    gdt.SPEC_AUGMENT = "medium"  # none | mild | medium | heavy: masks on the spectrogram
    gdt.REVERSED_AUDIO = "own"  # own | mirrored (as released): a reversal reuses volume and masks of its time


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


declare_limits(
    {
        "GDT.HYPOTHESIS": one_of(*HYPOTHESES),
        "GDT.NEGATIVES": one_of(*NEGATIVES),
        "GDT.SPEC_AUGMENT": one_of(*STRENGTHS),
        "GDT.REVERSED_AUDIO": one_of(*REVERSED_AUDIO),
    }
)
