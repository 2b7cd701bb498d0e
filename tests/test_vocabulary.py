"""Words that must not come back: where the field has a term, the code, its messages and its pages use that term."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORDS = re.compile(
    r"\b(houses?|floors|hearts?|greetings?|meetings?|told|tells?|contestants?|entrants?|players?|verdicts?|pictures?|hears|"
    r"sounds?|bench|mend(?:s|ed)?|pulse|revive|colou?rs?(?<=our|urs)|photometry|helpers?)\b",
    re.IGNORECASE,
)
# Text in which a word may stand, with the reason.
ALLOWED = {
    r"PictureType": "a name of PyAV",
    r"submitit\.helpers": "a module of submitit",
    r"(?:generator|rngs)\(f?\"[^\"]*\"": "keys of random draws: another name would be another draw",
    r"DATA\.PHOTOMETRY|DATA\.SHUFFLE_SOUND": "old names of keys, which are refused by name",
}


def private_words(text: str) -> list[tuple[int, str]]:
    """Line and word of each use, identifiers taken apart at underscores and capitals."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for allowed in ALLOWED:
            line = re.sub(allowed, "", line)
        apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line).replace("_", " ")
        found += [(number, match[0]) for match in WORDS.finditer(apart)]
    return found


def test_code_and_pages_use_the_terms_of_the_field():
    files = [
        path
        for folder in ("stica_pv", "tools")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in (".py", ".md", ".html", ".css")
    ]
    assert len(files) > 300
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files
        for number, word in private_words(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("line", ["contestant_of(x)", "# Is told the reason.", "class HelperPool:", "a picture"])
def test_a_private_word_is_found(line: str):
    assert len(private_words(line)) == 1


@pytest.mark.parametrize("line", ["import submitit.helpers", 'rngs(f"colour {view}")', "frames and audio, color"])
def test_terms_of_the_field_are_accepted(line: str):
    assert private_words(line) == []
