#!/usr/bin/env python3
"""Pre-trains and evaluates: `python tools/run_net.py --cfg projects/stica/k400.yaml [KEY VALUE ...]`."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not
# Threads of a CPU run that wait by spinning take the cores from the loader's workers. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from stica_pv.command_line import add_cfg_arguments, parse_cfg_arguments  # noqa: E402 - found by the lines above

EXAMPLES = """
examples:
  python tools/run_net.py --cfg projects/stica/demo.yaml
  python tools/run_net.py --cfg projects/stica/folder.yaml DATA.PATH_TO_DATA_DIR my_clips TRAIN.MAX_STEPS 20
  python tools/run_net.py --cfg projects/stica/k400.yaml DATA.PATH_TO_DATA_DIR kinetics400 TRAIN.BATCH_SIZE 64
  torchrun --nproc-per-node 8 tools/run_net.py --cfg projects/stica/k400.yaml
"""
LISTS = ("backbones", "audio_encoders", "poolings", "tasks", "datasets", "evaluations")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line; overrides may follow --cfg directly, or --opts, or both."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_cfg_arguments(parser, "configurations, run one after the other")
    parser.add_argument("--print_cfg", action="store_true", help="print the resolved configuration and stop")
    parser.add_argument("--dry_run", action="store_true", help="build all, run one batch, report and stop")
    parser.add_argument("--profile", type=int, metavar="N", help="write a profiler trace of N training steps")
    parser.add_argument("--list", choices=LISTS, help="print the known names and stop")
    parser.add_argument("--init_method", help="where machines meet, e.g. tcp://host:9999")
    parser.add_argument("--shard_id", type=int, help="number of this machine, from 0")
    parser.add_argument("--num_shards", type=int, help="number of machines")
    args = parse_cfg_arguments(parser, argv)
    if not args.cfg and not args.list:
        parser.error("--cfg FILE is needed (or --list); --help shows examples")
    if args.profile is not None and args.profile < 1:
        parser.error(f"--profile: expected a number of steps >= 1, got {args.profile}")
    return args


def resolve(args: argparse.Namespace, file: str):  # noqa: ANN201 - imported late, so that --help is fast
    """Returns the frozen configuration of one file with the overrides."""
    from stica_pv.launch.configuration import configure

    cfg = configure(file, args.overrides, root=ROOT)
    for key, value in (("SHARD_ID", args.shard_id), ("NUM_SHARDS", args.num_shards)):
        if value is not None:
            cfg[key] = value
    cfg.freeze()
    return cfg


def main(argv: list[str]) -> int:
    """Runs the command line; 2: something asked for cannot be done, 1: a run failed, 130: it was interrupted."""
    args = parse(argv)
    import torch.multiprocessing as mp

    from stica_pv.errors import RunFailed, RunStopped, UnreadableClip, UsageError
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.registry import ALL
    from stica_pv.run import rehearse, run

    try:
        if args.list:
            print("\n".join(ALL[args.list].names()))
            return 0
        for file in args.cfg:
            cfg = resolve(args, file)
            if args.print_cfg:
                print(cfg.dump(), end="")
                continue
            set_up_logging("" if args.dry_run else cfg.OUTPUT_DIR, 0)
            job = rehearse if args.dry_run else partial(run, profile_steps=args.profile or 0)
            launch(job, cfg, init_method=args.init_method, log_to_file=not args.dry_run)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RunFailed, UnreadableClip) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except RunStopped as stopped:
        print(f"stopped: {stopped}", file=sys.stderr)
        return 130
    except mp.ProcessRaisedException as error:  # the last line of a child's traceback is its message
        name, _, message = str(error).strip().splitlines()[-1].partition(": ")
        kind, code = {"UsageError": ("error", 2), "RunStopped": ("stopped", 130)}.get(
            name.rpartition(".")[2], ("failed", 1)
        )
        print(f"{kind}: {message or name}", file=sys.stderr)
        return code
    except mp.ProcessExitedException as error:  # killed, without a word of its own
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
