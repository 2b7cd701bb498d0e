#!/usr/bin/env python3
"""Measures what released quirks of STiCA, GDT and BraVe change: `python tools/released_differences.py LIST`.

LIST holds `path label` lines of videos with audio. Each row of the output belongs to a row of the tables of differences
in docs/methods/{stica,gdt,brave}.md.
"""

import argparse
import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not

import torch  # noqa: E402 - by the line above
import torch.nn.functional as F  # noqa: E402, N812 - the usual name
from differences.brave_step import step_lengths  # noqa: E402
from differences.clips import Clips, Measured  # noqa: E402
from differences.images import images, large  # noqa: E402
from torch import Tensor  # noqa: E402

from stica_pv.command_line import exit_code  # noqa: E402
from stica_pv.data.decoding.frames import FrameChoice  # noqa: E402
from stica_pv.errors import UsageError  # noqa: E402
from stica_pv.evaluation.requests import STARTS  # noqa: E402
from stica_pv.evaluation.views import grid_windows  # noqa: E402
from stica_pv.losses import TransformationPairContrast  # noqa: E402
from stica_pv.models import create_projection_head  # noqa: E402
from stica_pv.tasks.gdt.terms import HYPOTHESES, terms_of, versions_of  # noqa: E402
from stica_pv.transforms import (  # noqa: E402
    apply_spec_augment,
    create_log_mel,
    sample_spec_augment,
    sample_volume,
)

RANKS, BATCH, DIM, TEMPERATURE = 2, 8, 256, 0.07  # of the loss
BRAVE_BATCH = 8
TEST_SECONDS, TEST_CLIPS = 2.0, 10
FRAME_CHOICES: tuple[FrameChoice, ...] = ("nearest", "previous", "following")


def frames(clips: Clips) -> Measured:
    """Which frames are taken."""
    times = {choice: torch.stack([clip.frame_times_s for clip in clips.read(choice)]) for choice in FRAME_CHOICES}
    for choice in ("nearest", "previous"):
        later = times["following"] - times[choice]
        yield (
            f"DATA.FRAME_CHOICE following against {choice}",
            f"{later.mean() * 1000:+.1f} ms in the mean, {(later.abs() > 1e-3).float().mean():.0%} of the frames",
        )


def audio(clips: Clips) -> Measured:
    """What the spectrogram's details change, in natural logarithms."""
    layer = create_log_mel(style="released")
    for name, gain in (("as it is", 1.0), ("90 dB softer", 10**-4.5)):
        audio = torch.stack([clip.audio for clip in clips.read(gain=gain)])
        rounded = layer(audio)
        energy = layer._energy(audio).transpose(1, 2).unsqueeze(1)  # what `forward` would do without rounding
        exact = energy.masked_fill(energy == 0, torch.finfo(torch.float64).eps).log()
        difference = (rounded - exact).abs()
        yield f"AUDIO.LOG_MEL released, rounding, audio {name}", f"{difference.mean():.2f} in the mean"
    forty = create_log_mel(style="released", bands=40, mean=1.93, std=17.89)
    log_mel = forty(torch.stack([clip.audio for clip in clips.read()]))
    own = _augmented(log_mel.flip(-1), clips, "1R")
    mirrored = _augmented(log_mel, clips, "1").flip(-1)
    far = (own - mirrored).abs()
    masked = (far > 0.1).float().mean()
    yield (
        "GDT.REVERSED_AUDIO mirrored",
        f"{far.mean():.3f} of a spread of {own.std():.2f}; {masked:.1%} of cells masked otherwise",
    )
    head = create_projection_head(in_dim=512).train()
    vectors = torch.rand(1, 64, 512, generator=torch.Generator().manual_seed(clips.seed))
    torch.manual_seed(clips.seed)
    cosine = F.cosine_similarity(head(vectors)[0], head(vectors)[0]).mean()
    yield "AUDIO.HEAD_PASSES 2", f"cosine of the two embeddings of one audio {cosine:.2f}, untrained"


def _augmented(log_mel: Tensor, clips: Clips, version: str) -> Tensor:
    """Volume and masks of a version on spectrograms that are normalized by GDT's 17.89."""
    rngs, mask_rngs = ([clips.rng(f"{what} {version}", i) for i in range(len(log_mel))] for what in ("volume", "masks"))
    louder = log_mel + 2 * sample_volume(rngs).log().view(-1, 1, 1, 1) / 17.89
    masks = sample_spec_augment(mask_rngs, "medium", bands=log_mel.shape[2], columns=log_mel.shape[3])
    return apply_spec_augment(louder, masks)


def negatives(clips: Clips) -> Measured:
    """How far the released lists of negatives move GDT's loss, on random unit rows."""
    found = []
    for hypothesis in HYPOTHESES:
        rng = torch.Generator().manual_seed(clips.seed)
        versions = len(versions_of(hypothesis))
        rows = tuple(F.normalize(torch.randn(versions, RANKS * BATCH, DIM, generator=rng), dim=-1) for _ in range(2))
        losses = [_loss(rows, hypothesis, style) for style in ("intended", "released")]
        found.append(f"{hypothesis} {losses[1] - losses[0]:+.3f}")
    yield "GDT.NEGATIVES released", ", ".join(found)


def _loss(rows: tuple[Tensor, ...], hypothesis: str, style: str) -> float:
    near = "process" if style == "released" else "sample"
    contrast = TransformationPairContrast(terms_of(hypothesis, style), temperature=TEMPERATURE, near=near)  # type: ignore[arg-type]
    everyone = torch.ones(RANKS * BATCH, dtype=torch.bool)
    video, audio = rows
    parts = [
        contrast(
            (video[:, i : i + BATCH], audio[:, i : i + BATCH]),
            (video, audio),
            everyone[:BATCH],
            everyone,
            rank_offset=i,
        )
        for i in range(0, RANKS * BATCH, BATCH)
    ]
    return float(torch.stack(parts).mean())


def tests(clips: Clips) -> Measured:
    """Where the clips of a test lie, and how many videos are shorter than one."""
    policies = [partial(grid_windows, TEST_CLIPS, TEST_SECONDS, starts=starts)() for starts in STARTS]
    earlier = []
    for duration_s in clips.durations_s:
        usual, theirs = (policy(duration_s, torch.Generator()) for policy in policies)
        earlier += [usual[name].start_s - theirs[name].start_s for name in usual]
    yield (
        "TEST.FINETUNE.TEST_STARTS released",
        f"{sum(earlier) / len(earlier):.2f} s earlier, at most {max(earlier):.2f} s",
    )
    short = sum(duration_s < TEST_SECONDS for duration_s in clips.durations_s) / len(clips.durations_s)
    yield "CLASSIFICATION.SHORT_VIDEOS repeat_last", f"{short:.1%} of the videos are shorter than {TEST_SECONDS:g} s"
    valid = torch.tensor([clip.audio_valid for clip in clips.read()])
    yield (
        "AUDIO.MIN_VALID 0",
        f"{(valid < 0.5).float().mean():.1%} of the clips; {(valid < 1).float().mean():.1%} end before",
    )


def brave(clips: Clips) -> Measured:
    """How much longer the released first step of BraVe is, of weights, at the learning rate of the recipe."""
    lengths = step_lengths(clips.paths[:BRAVE_BATCH], clips.seed)
    for part, released in lengths["released"].items():
        intended = lengths["intended"][part]
        yield (
            f"SOLVER.LARS_MASK released, {part}",
            f"{released / intended:.0f} times as far ({released:.3g}, {intended:.3g})",
        )


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", metavar="LIST", type=Path, help="`path label` lines, paths relative to its folder")
    parser.add_argument("--clips", type=int, default=64, metavar="N", help="videos, drawn from the list (64)")
    parser.add_argument(
        "--large", metavar="FILE", help="a video of more than 256 pixels, to measure what its size does"
    )
    parser.add_argument("--brave", action="store_true", help="measure BraVe's first step at full size too, minutes")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (0)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Measures and prints a row for each difference."""
    if not args.list.is_file():
        raise UsageError(f"{args.list}: there is no such file")
    lines = [line.rsplit(" ", 1)[0] for line in args.list.read_text(encoding="utf-8").splitlines() if line.strip()]
    chosen = torch.randperm(len(lines), generator=torch.Generator().manual_seed(args.seed))[: args.clips].tolist()
    clips = Clips([str(args.list.parent / lines[i]) for i in chosen], args.seed)
    measures: tuple[Callable[[Clips], Measured], ...] = (frames, images, audio, negatives, tests)
    for measure in measures:
        for name, value in measure(clips):
            print(f"{name:<55}  {value}", flush=True)
    for name, value in brave(clips) if args.brave else ():
        print(f"{name:<55}  {value}", flush=True)
    for name, value in large(args.large, args.seed) if args.large else ():
        print(f"{name:<55}  {value}")


def main(argv: list[str]) -> int:
    """Runs the command line; 2: something asked for cannot be done."""
    args = parse(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_code(partial(run, args), interrupted="stopped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
