"""GDT's nine hypotheses as a table of the versions of a sample that are compared (arXiv 2003.04298, section 4.1).

A version is a time and a direction: 1, its reversal 1R, 2, 2R. Each hypothesis is a list of pairs of versions with
their relation: ``base`` (the other version is a negative only if it is of another sample), ``var`` (the sample's own
other version is a negative too: distinctiveness), ``inv`` (the sample's own other version is the positive: invariance).
"""

from typing import Literal, NamedTuple

from stica_pv.errors import check_choice
from stica_pv.losses import TransformationPair

Kind = Literal["base", "var", "inv"]
VERSIONS = ("1", "1R", "2", "2R")
REVERSED = "R"
NEGATIVES = ("intended", "released")
REVERSED_AUDIO = ("own", "mirrored")


class Pair(NamedTuple):
    """Two versions and their relation; `other` is None where a single version is compared."""

    kind: Kind
    one: str
    other: str | None


HYPOTHESES: dict[str, tuple[Pair, ...]] = {
    "h1": (Pair("base", "1", None),),  # cross-modal alone
    "h2": (Pair("var", "1", "1R"),),  # distinct in direction
    "h3": (Pair("base", "1", "1R"), Pair("inv", "1", "1R")),
    "h4": (Pair("var", "1", "2"),),  # distinct in time
    "h5": (Pair("base", "1", "2"), Pair("inv", "1", "2")),
    "h6": (Pair("var", "1", "1R"), Pair("var", "2", "2R"), Pair("var", "1", "2"), Pair("var", "1R", "2R")),
    "h7": (
        Pair("base", "1", "1R"),
        Pair("inv", "1", "1R"),
        Pair("inv", "2", "2R"),
        Pair("var", "1", "2"),
        Pair("var", "1R", "2R"),
    ),
    "h8": (
        Pair("base", "1", "2"),
        Pair("var", "1", "1R"),
        Pair("var", "2", "2R"),
        Pair("inv", "1", "2"),
        Pair("inv", "1R", "2R"),
    ),
    "h9": (
        Pair("base", "1", "1R"),
        Pair("base", "1", "2"),
        Pair("inv", "1", "1R"),
        Pair("inv", "2", "2R"),
        Pair("inv", "1", "2"),
        Pair("inv", "1R", "2R"),
    ),
}


def time_of(version: str) -> str:
    """Returns the version that plays forwards at the same time."""
    return version.removesuffix(REVERSED)


def versions_of(hypothesis: str) -> tuple[str, ...]:
    """Returns the versions that a hypothesis compares, in the order of `VERSIONS`."""
    check_choice("GDT.HYPOTHESIS", hypothesis, tuple(HYPOTHESES))
    named = {version for _, one, other in HYPOTHESES[hypothesis] for version in (one, other)}
    return tuple(version for version in VERSIONS if version in named)


def terms_of(hypothesis: str, negatives: str = "intended") -> tuple[TransformationPair, ...]:
    """Returns the comparisons of a hypothesis.

    Args:
        hypothesis: ``h1`` to ``h9``.
        negatives: ``intended``: every far key counts once. ``released``: counts as in the published code, which keeps a
            list of far negatives per version, at first the version alone. Each pair extends the list of its first
            version (``inv``: of the other) by its partner's current list; both orders of the pair use it.
    """
    check_choice("GDT.NEGATIVES", negatives, NEGATIVES)
    versions = versions_of(hypothesis)
    lists = {version: [version] for version in versions}
    pairs = HYPOTHESES[hypothesis]
    terms = []
    for kind, one, other in pairs:
        released = _grown(lists, kind, one, other)
        orders = [(one, [one, other], other), (other, [other, one], one)] if other else [(one, [one], one)]
        for query, both, second in orders:
            far = released if negatives == "released" else both
            near = {"base": [query], "var": both, "inv": [second]}[kind]
            terms.append(
                TransformationPair(
                    query=versions.index(query),
                    positive=versions.index(second if kind == "inv" else query),
                    near=tuple(near.count(version) for version in versions),
                    far=tuple(far.count(version) for version in versions),
                    weight=1 / (len(pairs) * len(orders)),
                )
            )
    return tuple(terms)


def _grown(lists: dict[str, list[str]], kind: Kind, one: str, other: str | None) -> list[str]:
    """Extends the released list that a pair uses, and returns it."""
    if other is None:
        return lists[one]
    grown, partner = (other, one) if kind == "inv" else (one, other)
    lists[grown] += lists[partner]
    return lists[grown]
