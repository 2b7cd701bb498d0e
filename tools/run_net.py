#!/usr/bin/env python3
"""Pre-trains and evaluates: `python tools/run_net.py --cfg projects/stica/k400.yaml [KEY VALUE ...]`."""

import argparse
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the clone's package, from any working directory, installed or not
# Threads of a CPU run that wait by spinning take the cores from the loader's workers. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EXAMPLES = """
examples:
  python tools/run_net.py --cfg projects/stica/demo.yaml
  python tools/run_net.py --cfg projects/stica/folder.yaml DATA.PATH_TO_DATA_DIR my_clips TRAIN.MAX_STEPS 20
  python tools/run_net.py --cfg projects/stica/k400.yaml DATA.PATH_TO_DATA_DIR kinetics400 TRAIN.BATCH_SIZE 64
  torchrun --nproc-per-node 8 tools/run_net.py --cfg projects/stica/k400.yaml
"""
YAML = (".yaml", ".yml")
NEGATIVE = re.compile(r"-\.?\d")
LISTS = ("backbones", "audio_encoders", "poolings", "tasks", "datasets", "evaluations")


def parse(argv: list[str]) -> argparse.Namespace:
    """Parses the command line; overrides may follow --cfg directly, or --opts, or both."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cfg", nargs="+", metavar="FILE", help="configurations, run one after the other")
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="overrides, the last one wins")
    parser.add_argument("--print_cfg", action="store_true", help="print the resolved configuration and stop")
    parser.add_argument("--list", choices=LISTS, help="print the known names and stop")
    parser.add_argument("--init_method", help="where machines meet, e.g. tcp://host:9999")
    parser.add_argument("--shard_id", type=int, help="number of this machine, from 0")
    parser.add_argument("--num_shards", type=int, help="number of machines")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides, as after --opts")
    # A leading space keeps argparse from taking a value such as -1e-3 for an option.
    args = parser.parse_args([f" {word}" if NEGATIVE.match(word) else word for word in argv])
    words = args.cfg or []
    files = next((i for i, word in enumerate(words) if i and not word.endswith(YAML)), len(words))
    args.cfg, behind = words[:files], words[files:]
    words = [*behind, *args.overrides, *args.opts]
    args.overrides = [word[1:] if word[:1] == " " and NEGATIVE.match(word, 1) else word for word in words]
    if not args.cfg and not args.list:
        parser.error("--cfg FILE is needed (or --list); --help shows examples")
    return args


def resolve(args: argparse.Namespace, file: str):  # noqa: ANN201 - imported late, so that --help is fast
    """Returns the frozen configuration of one file with the overrides."""
    from stica_pv.config import apply_overrides, merge_file
    from stica_pv.defaults import get_cfg
    from stica_pv.engine.run_folder import default_output_dir

    path = file if Path(file).exists() or not (ROOT / file).is_file() else str(ROOT / file)
    cfg = get_cfg()
    merge_file(cfg, path)
    apply_overrides(cfg, args.overrides)
    for key, value in (("SHARD_ID", args.shard_id), ("NUM_SHARDS", args.num_shards)):
        if value is not None:
            cfg[key] = value
    cfg.OUTPUT_DIR = cfg.OUTPUT_DIR or default_output_dir(path, args.overrides)
    cfg.freeze()
    return cfg


def main(argv: list[str]) -> int:
    """Runs the command line; 2: something asked for cannot be done, 1: a run failed on the way."""
    args = parse(argv)
    import torch.multiprocessing as mp

    from stica_pv.errors import RunFailed, UnreadableClip, UsageError
    from stica_pv.launch import launch, set_up_logging
    from stica_pv.registry import ALL
    from stica_pv.run import run

    try:
        if args.list:
            print("\n".join(ALL[args.list].names()))
            return 0
        for file in args.cfg:
            cfg = resolve(args, file)
            if args.print_cfg:
                print(cfg.dump(), end="")
                continue
            set_up_logging(cfg.OUTPUT_DIR, 0)
            launch(run, cfg, init_method=args.init_method)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (RunFailed, UnreadableClip) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except mp.ProcessRaisedException as error:  # the last line of a child's traceback is its message
        name, _, message = str(error).strip().splitlines()[-1].partition(": ")
        print(f"error: {message or name}", file=sys.stderr)
        return 2 if name.endswith("UsageError") else 1
    except mp.ProcessExitedException as error:  # killed, without a word of its own
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
