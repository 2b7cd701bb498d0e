"""The pages of the documentation: their code blocks and the commands in them."""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "docs"
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *SITE.rglob("*.md"),
        *(ROOT / "projects").rglob("README.md"),
        *(ROOT / "stica_pv").rglob("README.md"),
    ]
)
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^>\n]*) -->\n)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
INCLUDED = re.compile(r'^--8<-- "([^"]+)"\n', re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PROGRAMS = ("stica-pv ", "python ", "make ", "torchrun ", "pip ")
LOOP = re.compile(r"^for (\w+) in ([^;]+); do\n(.*?)^done\n", re.MULTILINE | re.DOTALL)
RUN = "run"  # mark of a block whose commands are run, not only parsed


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: Path of the page below the repository.
        language: Language of the fence.
        title: Name of a file that the block is the content of; may be empty.
        mark: Text of the comment above the block, such as `RUN`; may be empty.
        text: Content.
    """

    page: str
    language: str
    title: str
    mark: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Returns the fenced blocks of a page."""
    name = str(page.relative_to(ROOT))
    text = INCLUDED.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8"), page.read_text(encoding="utf-8"))
    found = FENCE.finditer(text)
    return [Block(name, m["language"], m["title"] or "", (m["mark"] or "").strip(), m["text"]) for m in found]


def prose(page: Path) -> str:
    """Returns the text of a page outside of its fenced blocks."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def inline_code(page: Path) -> list[str]:
    """Returns the code in the prose of a page, each on one line."""
    return [" ".join(code.split()) for code in INLINE.findall(prose(page))]


def commands_of(text: str) -> list[list[str]]:
    """Returns the arguments of each command of a shell script; loops over arguments are unrolled."""

    def unrolled(match: re.Match[str]) -> str:
        name, values, body = match.groups()
        return "".join(body.replace(f"${{{name}}}", value) for value in values.split())

    lines = LOOP.sub(unrolled, text).replace("\\\n", " ").splitlines()
    return [arguments for line in lines if (arguments := shlex.split(line, comments=True))]


def commands(page: Path) -> Iterator[list[str]]:
    """Yields the arguments of every command of a page, in blocks and in its prose."""
    for block in blocks(page):
        if block.language == "bash":
            yield from commands_of(block.text)
    for code in inline_code(page):
        if code.startswith(PROGRAMS):
            yield from commands_of(code)


def without_environment(arguments: list[str]) -> list[str]:
    """Returns a command without the variables that it sets for itself."""
    count = sum(1 for _ in itertools.takewhile(re.compile(r"[A-Z_]+=").match, arguments))
    return arguments[count:]
