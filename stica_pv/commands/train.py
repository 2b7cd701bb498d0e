"""Pre-train and evaluate: `stica-pv train --cfg stica/k400 [KEY VALUE ...]`."""

import argparse
import shlex
from functools import partial
from typing import TYPE_CHECKING

from stica_pv.command_line import (
    add_cfg_arguments,
    add_name_argument,
    as_called,
    command_parser,
    exit_code,
    parse_cfg_arguments,
    set_environment,
)
from stica_pv.commands.status import show

if TYPE_CHECKING:
    from stica_pv.config import CfgNode

EXAMPLES = """
examples:
  stica-pv train --cfg stica/demo
  stica-pv train --cfg stica/folder DATA.PATH_TO_DATA_DIR my_clips TRAIN.MAX_STEPS 20
  stica-pv train --cfg stica/k400 DATA.PATH_TO_DATA_DIR kinetics400 TRAIN.BATCH_SIZE 64
  torchrun --nproc-per-node 8 -m stica_pv train --cfg stica/k400 DATA.PATH_TO_DATA_DIR kinetics400
  stica-pv train --cfg stica/k400 DATA.PATH_TO_DATA_DIR kinetics400 --launcher slurm \
      SUBMITIT.NODES 8 SUBMITIT.GPUS_PER_NODE 8 SUBMITIT.CPUS_PER_TASK 12
  stica-pv train --cfg stica/demo --launcher slurm --sweep SOLVER.BASE_LR 1e-3,3e-3
  stica-pv explain DATA.BLUR_PROB
  stica-pv status output/stica/k400/data-kinetics400
"""
LISTS = ("backbones", "audio_encoders", "poolings", "tasks", "datasets", "evaluations")


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("train", __doc__, epilog=EXAMPLES, imports=True)
    add_cfg_arguments(parser, "configurations, run one after the other, or as one array job")
    add_name_argument(parser)
    parser.add_argument("--print_cfg", action="store_true", help="print the resolved configuration and exit")
    parser.add_argument("--dry_run", action="store_true", help="build everything, run one batch, report and exit")
    parser.add_argument("--profile", type=int, metavar="N", help="save a profiler trace of N training steps")
    parser.add_argument("--list", choices=LISTS, help="print the known names and exit")
    parser.add_argument("--explain", metavar="KEY", help="describe a key, or list the keys of a section, and exit")
    parser.add_argument("--status", nargs="+", metavar="OUTPUT_DIR", help="print the status of runs and exit")
    parser.add_argument("--launcher", choices=("slurm", "local"), help="submit as a job (SUBMITIT.*) and exit")
    parser.add_argument(
        "--sweep",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUES"),
        help="one run per value, separated by commas; repeat the option for all combinations",
    )
    parser.add_argument("--init_method", help="rendezvous address of the machines, e.g. tcp://host:9999")
    parser.add_argument("--shard_id", type=int, help="index of this machine, from 0")
    parser.add_argument("--num_shards", type=int, help="number of machines")
    return parser


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line; overrides may follow --cfg directly, or --opts, or both."""
    parser = create_parser()
    args = parse_cfg_arguments(parser, argv)
    if not (args.cfg or args.list or args.status or args.explain):
        parser.error("--cfg FILE is needed (or --list, --explain, --status); --help shows examples")
    if args.profile is not None and args.profile < 1:
        parser.error(f"--profile: expected a number of steps >= 1, got {args.profile}")
    if args.launcher and (args.dry_run or args.init_method or args.shard_id is not None or args.num_shards is not None):
        parser.error("--launcher cannot be combined with --dry_run, --init_method, --shard_id or --num_shards")
    return args


def resolve_all(args: argparse.Namespace) -> list["CfgNode"]:
    """Return the frozen configuration of each run that the command line asks for."""
    from stica_pv.launch.sweep import expand

    cfgs = expand(args.cfg, args.overrides, args.sweep, name=args.name)
    for cfg in cfgs:
        for key, value in (("SHARD_ID", args.shard_id), ("NUM_SHARDS", args.num_shards)):
            if value is not None:
                cfg[key] = value
        cfg.freeze()
    return cfgs


def act(args: argparse.Namespace) -> None:
    """Execute the command line; check the keys before any slow import."""
    from stica_pv.config.declared import check_keys, read_table
    from stica_pv.config.reference import explain

    swept = [part for pair in args.sweep for part in pair]
    check_keys(args.cfg, [*args.overrides, *swept])
    if args.explain:
        print(explain(args.explain, read_table()))
        return
    from stica_pv.config import with_keys
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.registry import ALL

    if args.list:
        import stica_pv.workflows.run  # noqa: F401 - its imports fill the lists

        print("\n".join(ALL[args.list].names()))
    elif args.status:
        show(args.status)
    elif args.print_cfg:
        for cfg in resolve_all(args):
            print(with_keys(cfg, [("OVERRIDES", [])]).dump(), end="")  # the keys themselves hold the overrides
    elif args.launcher:
        submit_all(args)
    else:
        from stica_pv.workflows.run import check_run, run

        function = check_run if args.dry_run else partial(run, profile_steps=args.profile or 0)
        for cfg in resolve_all(args):
            set_up_logging("" if args.dry_run else cfg.OUTPUT_DIR, 0)
            launch(function, cfg, init_method=args.init_method, log_to_file=not args.dry_run)


def submit_all(args: argparse.Namespace) -> None:
    """Submit the runs and print how to follow them."""
    from stica_pv.launch.submit import submit

    cfgs = resolve_all(args)
    for cfg, job in zip(cfgs, submit(cfgs, args.launcher, profile_steps=args.profile or 0), strict=True):
        print(f"job {job}: {cfg.OUTPUT_DIR}")
    print(as_called(f"stica-pv status {shlex.join(cfg.OUTPUT_DIR for cfg in cfgs)}"))


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: the request is invalid, 1: a run failed, 130: it was interrupted."""
    set_environment()
    return exit_code(partial(act, parse(argv)))
