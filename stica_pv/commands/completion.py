"""Print a script for the completion of commands, options, files and recipes: `stica-pv completion bash`.

Examples:
  stica-pv completion bash > ~/.local/share/bash-completion/completions/stica-pv
  stica-pv completion zsh > ~/.zfunc/_stica-pv        (~/.zfunc in fpath, before compinit)
  stica-pv completion fish > ~/.config/fish/completions/stica-pv.fish
"""

import argparse
from functools import partial
from typing import Any

from stica_pv.command_line import PROGRAM, command_parser, exit_code
from stica_pv.commands import program
from stica_pv.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
FILES, FOLDERS = ("FILE", "IN", "OUT", "CHECKPOINT", "PATH", "source", "target"), ("FOLDER", "OUTPUT_DIR")
_LIST = f"{PROGRAM} recipes --names 2>/dev/null"
RECIPES = {
    "bash": "_stica_pv_recipes",
    "zsh": "_stica_pv_recipes",
    "fish": f"({_LIST}; __fish_complete_path (commandline -ct))",
    "preamble": {
        "bash": f'_stica_pv_recipes() {{ compgen -W "$({_LIST})" -- "$1"; compgen -f -- "$1"; }}',
        "zsh": f'_stica_pv_recipes() {{ compadd -- ${{(f)"$({_LIST})"}}; _files; }}',
    },
}
"""What completes the value of --cfg: names of recipes, and files."""


def create_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser("completion", __doc__)
    parser.add_argument("shell", choices=SHELLS)
    return parser


def program_parser() -> argparse.ArgumentParser:
    """Return one parser of all commands, whose arguments say what completes them."""
    import shtab

    whole = argparse.ArgumentParser(prog=PROGRAM)
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers()
    for name, what in program.COMMANDS.items():
        own = program.load_command(name).create_parser()
        for action in own._actions:
            metavar = str(action.metavar or action.dest)
            complete: Any = shtab.FILE if metavar in FILES else shtab.DIRECTORY if metavar in FOLDERS else None
            if "--cfg" in action.option_strings or metavar == "GRID.yaml":
                complete = RECIPES
            if complete is not None and not action.choices:
                action.complete = complete
        commands.add_parser(name, help=what, parents=[own], add_help=False)
    return whole


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    try:
        import shtab
    except ImportError as error:
        raise UsageError("completion needs the extra 'completion': pip install 'stica_pv[completion]'") from error
    print(shtab.complete(program_parser(), args.shell))


def main(argv: list[str]) -> int:
    """Run the command line; exit code 2: shtab is missing."""
    return exit_code(partial(run, create_parser().parse_args(argv)))
