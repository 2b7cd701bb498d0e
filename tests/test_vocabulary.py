"""Words that must not come back: where the field has a term, the code, its messages and its pages use that term."""

import io
import re
import tokenize
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
    r"(?i:(?:epic|kinetics)[-_]sounds)": "names of data sets",
    r"DATA\.PHOTOMETRY|DATA\.SHUFFLE_SOUND": "old names of keys, which are refused by name",
}


# Words that sentences may need, but identifiers and messages do not.
METAPHORS = re.compile(
    r"\b(rooms?|walks?|li(?:fe|ves)|words?|places?|looks?|looked|seen|beside|floors?|hear|stands|lies)\b", re.IGNORECASE
)
# Identifiers and texts in which such a word may stand, with the reason.
ALLOWED_METAPHORS = {
    r"HEAR|\bhear[.,\"-]|import hear\b|HearModel|Looks good!": "a benchmark, its adapter and its validator",
    r"\b(?:ast|os)\.walk|math\.floor|\.floor\(": "names of the standard library and PyTorch",
    r"HTK_FLOOR": "the noise floor of a spectrum",
    r"\"life\"|\.life\{attempt": "fields and file names of the disk that later attempts read",
    r"Hz look like|looks like GDT": "messages that compare an input with a known form",
    r"\"p\": \"place\"": "a command of GRID's sentences",
    r"\"walk\"|/walk_|walk/Film|walk_test|word_embd": "class names of HMDB-51, and parameters of a released checkpoint",
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


def metaphors(text: str) -> list[tuple[int, str]]:
    """Line and word of each use in identifiers and one-line strings; names of tests are sentences."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_message = token.type == tokenize.STRING and '"""' not in token.string
        if not is_message and (token.type != tokenize.NAME or token.string.startswith("test_")):
            continue
        if any(re.search(allowed, token.line) for allowed in (*ALLOWED, *ALLOWED_METAPHORS)):
            continue
        apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", token.string).replace("_", " ")
        found += [(token.start[0], match[0]) for pattern in (WORDS, METAPHORS) for match in pattern.finditer(apart)]
    return found


def test_identifiers_and_messages_have_no_metaphors():
    files = [path for folder in ("stica_pv", "tools", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    faults = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in files
        if path != Path(__file__).resolve()
        for number, word in metaphors(path.read_text(encoding="utf-8"))
    ]
    assert not faults, "\n".join(faults)


def test_code_and_pages_use_the_terms_of_the_field():
    files = [
        path
        for folder in ("stica_pv", "tools", "docs", "projects", "examples")
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


@pytest.mark.parametrize(
    "line", ["place = 1", "def beside_trunk(): ...", "raise ValueError('no room is left')", "seen: int"]
)
def test_a_metaphor_is_found(line: str):
    assert len(metaphors(line)) == 1


@pytest.mark.parametrize(
    "line", ["def test_words_and_places(): ...", "n = math.floor(x)", "# in place of it", "position = 1"]
)
def test_no_metaphor_is_found_in_other_text(line: str):
    assert metaphors(line) == []
