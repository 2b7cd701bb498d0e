"""Effects of the released processing of frames: cropping, colors, decoding of larger frames."""

from dataclasses import replace

import torch
from differences.clips import FPS, FRAMES, SECONDS, Clips, Measured
from torch import Tensor

from stica_pv.data.decoding.reader import read
from stica_pv.keyed_random import generator, uniform
from stica_pv.structures import ClipRequest, Window
from stica_pv.transforms import ColorSettings, RandomResizedCrop, apply_color, sample_color
from stica_pv.transforms.spatial import CropBox, apply_box


def images(clips: Clips) -> Measured:
    """Yields the effects of cropping and colors on pixels, in gray levels of 255 and in normalized units."""
    whole = [clip.frames for clip in clips.read()]

    def cropped(*, antialias: bool = True, floats: bool = False) -> Tensor:
        crop = RandomResizedCrop(antialias=antialias)
        given = [video.float() if floats else video for video in whole]
        return torch.stack([crop(video, 112, clips.rng("crop", i)) for i, video in enumerate(given)]).float()

    usual = cropped()
    yield "DATA.ANTIALIAS off", f"{(usual - cropped(antialias=False)).abs().mean():.2f} gray levels"
    exact = (cropped(antialias=False) - cropped(antialias=False, floats=True)).abs().mean()
    yield "resizing of bytes, not floats", f"{exact:.2f} gray levels"
    settings = ColorSettings()
    rngs = [clips.rng("colors", i) for i in range(len(whole))]
    params = sample_color(rngs, settings)
    plan_released = sample_color(
        [clips.rng("colors", i) for i in range(len(whole))], replace(settings, style="released")
    )
    ours = apply_color(usual / 255, params, settings)
    theirs = apply_color(usual / 255, plan_released, replace(settings, style="released"))
    yield "DATA.COLOR_STYLE released", f"{(ours - theirs).abs().mean():.2f} of a spread of {ours.std():.2f}"
    jitter = replace(settings, jitter_prob=1.0, gray_prob=0.0, blur_prob=0.0)
    params = sample_color([clips.rng("colors", i) for i in range(len(whole))], jitter)
    ours, theirs = apply_color(usual / 255, params, jitter), _wrong_axis(usual / 255, params.order, params.factors)
    yield "GDT's jitter on the wrong axis", f"{(ours - theirs).abs().mean():.2f} of a spread of {ours.std():.2f}"


def _wrong_axis(video: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Applies GDT's jitter as released: frames count as channels, so gray mixes the first three and is else 0."""
    out = []
    for x, steps, factor in zip(video, order.tolist(), factors.tolist(), strict=True):  # (3, T, H, W)
        for step in steps:
            gray = torch.zeros_like(x)
            gray[:, :3] = (x[:, :3] * torch.tensor([0.114, 0.587, 0.299]).view(3, 1, 1)).sum(1, keepdim=True)
            base = {0: torch.zeros_like(x), 1: gray.mean((1, 2, 3), keepdim=True), 2: gray}[step]
            x = factor[step] * x + (1 - factor[step]) * base
        out.append((x - 0.45) / 0.225)
    return torch.stack(out)


def large(path: str, seed: int) -> Measured:
    """Yields the effect of scaling large frames down in decoding, on random squares."""
    request = {"clip": ClipRequest(Window(0.0, SECONDS), FRAMES, FPS)}
    difference, rng = 0.0, generator("large", seed)
    for _ in range(8):
        share, down, right = uniform(0.4, 1.0, rng), uniform(0.0, 1.0, rng), uniform(0.0, 1.0, rng)
        cut = []
        for video in (read(path, request, short_size=size)["clip"].frames for size in (0, 256)):
            height, width = video.shape[2:]
            side = round(share * height)
            box = CropBox(round(down * (height - side)), round(right * (width - side)), side, side)
            cut.append(apply_box(video, box, 112, True).float())
        difference += float((cut[0] - cut[1]).abs().mean()) / 8
    yield "DATA.DECODING_SHORT_SIZE 0", f"{difference:.2f} gray levels"
