"""Measure the reader on generated files: `stica-pv check-reader [--few] [--match TEXT] [--markdown FILE]`.

Each frame of these files encodes its number, and the audio encodes the time. The table compares the errors of this
reader and of pytorchvideo's reader on the same files.
"""

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stica_pv.command_line import command_parser, exit_code
from stica_pv.commands.outputs import write_text

if TYPE_CHECKING:
    from stica_pv.commands.reader_check.measure import Errors
    from stica_pv.commands.reader_check.specimens import Specimen

HEAD = (
    "| container | frames | audio | property | frames wrong | audio off | length off "
    "| pytorchvideo: frames wrong | audio off |",
    "|---|---|---|---|---|---|---|---|---|",
)


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("check-reader", __doc__)
    parser.add_argument("--few", action="store_true", help="a dozen files instead of all")
    parser.add_argument("--match", default="", help="only files whose name contains this text")
    parser.add_argument("--details", action="store_true", help="print each error")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    return create_parser().parse_args(argv)


def frame_cell(errors: "Errors") -> str:
    """Return how many frames were wrong, and the largest error."""
    by = f", by up to {errors.frame_s * 1e3:.0f} ms" if errors.frame_s else ""
    if errors.failure and errors.wrong == errors.num_frames == 0:
        return f"fails: {errors.failure}"
    remark = f", {errors.remark}" if errors.remark else ""
    return f"{errors.wrong} of {errors.num_frames}{by}{remark}"


def audio_cell(errors: "Errors") -> str:
    """Return the largest lag, and how often audio was missing."""
    if errors.silent == errors.num_audio:
        return "none"
    missing = f", {errors.silent} of {errors.num_audio} missing" if errors.silent else ""
    return f"{errors.audio_s * 1e3:+.2f} ms{missing}"


def row(specimen: "Specimen", ours: "Errors", theirs: "Errors") -> str:
    """Return a row of the table."""
    audio = f"{specimen.audio} {specimen.rate_hz / 1000:g} kHz {specimen.layout}"
    note = f"{specimen.note}: {specimen.cause}" if specimen.cause else specimen.note
    cells = (specimen.container, specimen.video, audio, note)
    length = f"{ours.length_s * 1e3:+.0f} ms"
    results = (frame_cell(ours), audio_cell(ours), length, frame_cell(theirs), audio_cell(theirs))
    return "| " + " | ".join((*cells, *results)) + " |"


def measure(specimens: Iterable["Specimen"], *, details: bool) -> tuple[list[str], int]:
    """Return the rows of the table, and in how many our reader has errors without a known cause."""
    from stica_pv.commands.reader_check.measure import check_ours, check_pytorchvideo
    from stica_pv.commands.reader_check.specimens import can_write, write

    lines, bad = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for specimen in specimens:
            if not can_write(specimen):
                print(f"this FFmpeg has no encoder {specimen.video} or {specimen.audio}", file=sys.stderr)
                continue
            path = write(specimen, Path(folder))
            ours, theirs = check_ours(specimen, path), check_pytorchvideo(specimen, path)
            lines.append(row(specimen, ours, theirs))
            print(lines[-1], flush=True)
            if details:
                print("\n".join(f"    {line}" for line in (ours.failure, *ours.details) if line))
            bad += not ours.good and not specimen.cause
            path.unlink()
    return lines, bad


def run(args: argparse.Namespace) -> int:
    """Measure, and print the table; return 1 if our reader has an error without a known cause."""
    import av

    from stica_pv.commands.reader_check.matrix import ALL, FEW

    av.logging.set_level(av.logging.PANIC)
    print("\n".join(HEAD))
    lines, bad = measure([s for s in (FEW if args.few else ALL) if args.match in s.name], details=args.details)
    versions = f"FFmpeg {av.ffmpeg_version_info}, PyAV {av.__version__}, Python {platform.python_version()}"
    print(f"\n{len(lines)} files, {bad} with errors of our reader without a known cause; {versions}")
    if args.markdown:
        write_text(args.markdown, "\n".join((*HEAD, *lines)) + "\n")
    return int(bad > 0)


def main(argv: list[str]) -> int:
    """Run the command line; 1: our reader has an error without a known cause."""
    return exit_code(partial(run, parse(argv)))
