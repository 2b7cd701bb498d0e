"""Make a low-resolution copy of a data set: `stica-pv transcode SOURCE TARGET [--short-side 128 ...]`.

SOURCE is a folder or a list of `path label` lines; names and lists are kept, extensions become .mp4. Run the command
again to continue after an interruption, or to retry failed files.
"""

import argparse
import logging
import os
from functools import partial

from stica_pv.command_line import exit_code, log_to_terminal
from stica_pv.commands.conversion import conversion_parser


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = conversion_parser("transcode", __doc__)
    parser.add_argument("--gop", type=int, default=12, help="maximum number of frames between key frames (12)")
    parser.add_argument("--codec", default="libx264", help="FFmpeg's name of the video encoder (libx264)")
    parser.add_argument("--crf", type=int, default=23, help="constant rate factor of the video, lower is better (23)")
    parser.add_argument("--audio-rate", type=int, default=24000, help="sample rate of the mono AAC audio in Hz (24000)")
    parser.add_argument("--audio-bitrate", type=int, default=48000, help="bit rate of the audio in bit/s (48000)")
    parser.add_argument(
        "--fast-decoding",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="use the fastdecode tuning of x264 and x265; files are 6 %% larger, at slightly lower quality (on)",
    )
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    return create_parser().parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Copy, measure the reading speed and print a report; return 1 if no file could be copied."""
    from stica_pv.data.conversion.batch_convert import convert_files, plan_conversion
    from stica_pv.data.conversion.decode_speed import measure_decode_speed
    from stica_pv.data.conversion.transcode import TranscodeSettings

    settings = TranscodeSettings(
        short_side=args.short_side,
        gop=args.gop,
        codec=args.codec,
        crf=args.crf,
        audio_rate_hz=args.audio_rate,
        audio_bitrate=args.audio_bitrate,
        fast_decoding=args.fast_decoding,
    )
    plan = plan_conversion(args.source, args.target, args.separator)
    report = convert_files(plan, settings, processes=args.processes, limit_s=args.limit)
    done = sorted((*report.copied, *report.kept))
    pairs = [(str(plan.source / name), str(plan.target / plan.names[name])) for name in done]
    before, after = (sum(os.path.getsize(pair[side]) for pair in pairs) / 1e6 for side in (0, 1))
    print(f"files     {len(report.copied)} copied, {len(report.kept)} already present, {len(report.failures)} failed")
    print(f"lists     {report.lists}")
    if report.failures:
        print(f"failures  {plan.target / plan.conversion.failures}")
    print(f"size      {before:.1f} MB before, {after:.1f} MB after" + (f" ({before / after:.1f} x)" if after else ""))
    speed = measure_decode_speed(pairs, short_side=args.short_side, audio_rate_hz=args.audio_rate)
    if speed is not None:
        print(
            f"reading   {speed.before:.1f} clips/s before, {speed.after:.1f} after "
            f"({speed.after / speed.before:.1f} x); {speed.files} files, one process"
        )
    return 0 if done else 1


def main(argv: list[str]) -> int:
    """Run the command line; 2: an argument is wrong."""
    args = parse(argv)
    log_to_terminal(level=logging.INFO)
    return exit_code(partial(run, args), interrupted="stopped; run the same command again to continue")
