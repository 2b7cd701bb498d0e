"""The transforms run on the sample dicts of pytorchvideo, without a configuration of ours."""

import torch

from stica_pv.keyed_random import generator
from stica_pv.transforms import (
    ColorSettings,
    FixedCrop,
    RandomResizedCrop,
    apply_color,
    create_log_mel,
    sample_color,
)


def test_sample_dict_of_a_labeled_video_dataset() -> None:
    # As pytorchvideo's LabeledVideoDataset gives it: video float32 (C, T, H, W) on 0 to 255, audio float32 (S,).
    video = torch.randint(0, 256, (3, 4, 72, 96)).float()
    sample = {"video": video, "audio": torch.rand(24000) * 2 - 1, "label": 3, "video_name": "a.mp4"}
    rng = generator("sample", 0)
    sample["video"] = RandomResizedCrop()(sample["video"], 32, rng)
    assert sample["video"].dtype == torch.float32
    settings = ColorSettings()
    batch = torch.utils.data.default_collate([sample, sample])
    out = apply_color(batch["video"] / 255, sample_color([rng, rng], settings), settings)
    assert out.shape == (2, 3, 4, 32, 32)
    assert create_log_mel(style="released", bands=40)(batch["audio"]).shape == (2, 1, 40, 99)


def test_uint8_and_float_samples_agree() -> None:
    video = torch.randint(0, 256, (3, 4, 72, 96), dtype=torch.uint8)
    crop, rng = FixedCrop(short_side=40), generator("unused")
    difference = crop(video, 32, rng).float() - crop(video.float(), 32, rng)
    assert difference.abs().max() <= 1.02
