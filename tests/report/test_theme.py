"""The colors of the pages: enough contrast in light and dark, and the same in the documentation."""

import re

import pytest
from tiny_runs import REPOSITORY

from stica_pv.report.contact_sheet import COLORS, GROUND, INK, MUTED

THEME = (REPOSITORY / "stica_pv" / "report" / "templates" / "theme.css").read_text(encoding="utf-8")
DOCS = (REPOSITORY / "docs" / "stylesheets" / "extra.css").read_text(encoding="utf-8")
TEXT, GROUNDS = ("ink", "muted", "link", "good", "bad", "warn"), ("ground", "card", "panel")
SHAPES = (*(f"series-{number}" for number in range(8)), "neutral", "neutral-soft")
DOCS_TOKENS = {
    "primary": {"primary-fg-color": "link", "primary-fg-color--light": "series-0", "primary-bg-color": "card"},
    "accent": {"accent-fg-color": "series-0"},
    "default": {
        "default-bg-color": "card", "default-fg-color": "ink", "default-fg-color--light": "muted",
        "code-bg-color": "panel", "code-fg-color": "ink", "typeset-a-color": "link",
    },
    "slate": {
        "primary-fg-color": "card", "primary-bg-color": "ink", "default-bg-color": "ground", "default-fg-color": "ink",
        "default-fg-color--light": "muted", "code-bg-color": "panel", "code-fg-color": "ink",
        "typeset-a-color": "link", "accent-fg-color": "series-0",
    },
}  # fmt: skip


def colors_in(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def schemes() -> dict[str, dict[str, str]]:
    light, dark = (colors_in(block) for block in re.findall(r":root \{(.*?)\}", THEME, re.DOTALL)[:2])
    return {"light": light, "dark": dark}


def luminance(color: str) -> float:
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2: from 1 to 21."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_shapes_reach_wcag_aa_on_every_ground(scheme: str):
    colors = schemes()[scheme]
    pairs = [(name, ground, 4.5) for name in TEXT for ground in GROUNDS]
    pairs += [(name, ground, 3.0) for name in SHAPES for ground in ("card", "panel")]
    low = [
        f"{name} on {ground}: {contrast(colors[name], colors[ground]):.2f}, at least {least}"
        for name, ground, least in pairs
        if contrast(colors[name], colors[ground]) < least
    ]
    assert not low, "\n".join(low)


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("part", list(DOCS_TOKENS))
def test_the_documentation_has_the_colors_of_the_pages(part: str):
    blocks = re.findall(r"^([^/\n{]*)\{(.*?)\}", DOCS, re.DOTALL | re.MULTILINE)
    (block,) = [body for selector, body in blocks if f'"{part}"' in selector or f'-{part}="' in selector]
    theme = schemes()["dark" if part == "slate" else "light"]
    found = {name.removeprefix("md-"): value for name, value in colors_in(block).items()}
    assert {name: found.get(name) for name in DOCS_TOKENS[part]} == {
        name: theme[token] for name, token in DOCS_TOKENS[part].items()
    }


def test_the_contact_sheet_has_the_colors_of_the_light_pages():
    light = schemes()["light"]
    assert tuple(light[f"series-{number}"] for number in range(8)) == COLORS
    assert (light["ink"], light["muted"], light["card"]) == (INK, MUTED, GROUND)
