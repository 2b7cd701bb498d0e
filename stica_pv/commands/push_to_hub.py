"""Publish a checkpoint as a repository of the Hugging Face Hub: `stica-pv push-to-hub CHECKPOINT OWNER/NAME [...]`.

The repository gets model.safetensors (all networks), config.json and a model card, from which `stica_pv.load_encoder`
builds the encoders. The account is that of `hf auth login`, or of the variable HF_TOKEN. With --folder nothing is
uploaded.
"""

import argparse
import logging
from functools import partial
from pathlib import Path

from stica_pv.command_line import command_parser, exit_code, log_to_terminal

EXAMPLES = """
examples:
  stica-pv push-to-hub output/stica/demo me/stica-demo --license cc-by-4.0
  stica-pv push-to-hub output/stica/demo me/stica-demo --folder repository
"""


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("push-to-hub", __doc__, epilog=EXAMPLES, imports=True)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="checkpoint, or OUTPUT_DIR of a run")
    parser.add_argument("repository", metavar="OWNER/NAME", help="name of the repository")
    parser.add_argument("--license", default="", help="license of the weights, for the model card")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--folder", type=Path, help="only write the repository to this new folder")
    return parser


def run(args: argparse.Namespace) -> None:
    """Write or upload, and print where."""
    from stica_pv.config.imports import import_components

    import_components([])  # those of --import and plugins
    from stica_pv.exchange.hub import check_name, push_to_hub, write_repository

    check_name(args.repository)
    if args.folder is not None:
        for path in write_repository(args.checkpoint, args.folder, license_name=args.license, name=args.repository):
            print(path)
    else:
        print(push_to_hub(args.checkpoint, args.repository, license_name=args.license, private=args.private))


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: the checkpoint cannot be read, or the hub refuses."""
    args = create_parser().parse_args(argv)
    log_to_terminal(level=logging.ERROR)
    return exit_code(partial(run, args), interrupted="stopped; nothing was published")
