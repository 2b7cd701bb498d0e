"""Builds the sampler and the loader of a run."""

import dataclasses
from array import array

from stica_pv.config import CfgNode
from stica_pv.data.config import groups_from_config, reader_from_config
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.loader_memory import available_bytes, warn_if_too_large
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.videos import Videos
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.distributed import rank, world_size
from stica_pv.structures import Views


def create_sampler(cfg: CfgNode, videos: Videos, start: int) -> StepSampler:
    """Plans the steps of this process from `start` to the end of the run."""
    sampler = StepSampler(
        len(videos.paths),
        batch_size=cfg.TRAIN.BATCH_SIZE,
        seed=cfg.RNG_SEED,
        start=start,
        rank=rank(),
        world_size=world_size(),
        groups=groups_from_config(cfg, videos.names),
    )
    planned: int = cfg.SOLVER.MAX_EPOCH * sampler.steps_per_epoch
    sampler.end = min(planned, cfg.TRAIN.MAX_STEPS) if cfg.TRAIN.MAX_STEPS > 0 else planned
    return sampler


def create_loader(cfg: CfgNode, views: Views, videos: Videos, sampler: StepSampler) -> ClipLoader:
    """Builds the loader of some views of the videos."""
    dataset = ClipDataset(
        videos.paths,
        videos.durations_s,
        views,
        reader=reader_from_config(cfg, flow=any(spec.flow for spec in views.specs)),
        seed=cfg.RNG_SEED,
        labels=videos.labels,
        read_timeout_s=cfg.DATA.READ_TIMEOUT_SECONDS,
    )
    warn_if_too_large(views, cfg.TRAIN.BATCH_SIZE // world_size(), cfg.DATA_LOADER.NUM_WORKERS, available_bytes())
    workers, pin, start_method = (cfg.DATA_LOADER[key] for key in ("NUM_WORKERS", "PIN_MEMORY", "START_METHOD"))
    return ClipLoader(
        dataset,
        sampler,
        num_workers=workers,
        pin_memory=pin,
        start_method=start_method,
        shuffle_audio=cfg.DATA.SHUFFLE_AUDIO,
    )


def repeat(videos: Videos, times: int) -> Videos:
    """Returns a list with each video `times` times, one pass after the other; each entry is sampled independently."""
    if times == 1:
        return videos
    return dataclasses.replace(
        videos,
        paths=CompactStrings(path for _ in range(times) for path in videos.paths),
        durations_s=array("d", videos.durations_s) * times,
        labels=None if videos.labels is None else array("q", videos.labels) * times,
    )
