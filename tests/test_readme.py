"""What the README shows works as it stands there."""

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def test_python_example_runs_and_gives_the_shapes_it_states() -> None:
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, object] = {}
    exec(code.group(1), names)  # noqa: S102 - our own text
    assert names["vectors"].shape == (2, 512)
    assert names["tokens"].shape == (6, 2, 8, 2048)
    assert names["crops"].shape == (6, 2, 512)


def test_every_file_and_make_target_it_names_exists() -> None:
    text = README.read_text(encoding="utf-8")
    root = README.parent
    for name in set(re.findall(r"projects/[\w/]+\.yaml|tools/\w+\.py|constraints\.txt", text)):
        assert (root / name).is_file(), name
    targets = (root / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z-]+)", text)) - {"are"}:
        assert re.search(rf"^{target}:", targets, re.MULTILINE), target
