import pytest

from stica_pv.errors import UsageError
from stica_pv.tasks.gdt.terms import HYPOTHESES, terms_of, versions_of

KEPT = {  # versions, number of terms: those of the two orders of each pair
    "h1": (("1",), 1),
    "h2": (("1", "1R"), 2),
    "h3": (("1", "1R"), 4),
    "h4": (("1", "2"), 2),
    "h5": (("1", "2"), 4),
    "h6": (("1", "1R", "2", "2R"), 8),
    "h7": (("1", "1R", "2", "2R"), 10),
    "h8": (("1", "1R", "2", "2R"), 10),
    "h9": (("1", "1R", "2", "2R"), 12),
}

Counts = tuple[int, ...]
RELEASED: dict[str, list[tuple[str, str, Counts, Counts]]] = {  # measured: query, positive, near and far counts
    "h1": [
        ("1", "1", (1,), (1,)),
    ],
    "h2": [
        ("1", "1", (1, 1), (1, 1)),
        ("1R", "1R", (1, 1), (1, 1)),
    ],
    "h3": [
        ("1", "1", (1, 0), (1, 1)),
        ("1R", "1R", (0, 1), (1, 1)),
        ("1", "1R", (0, 1), (1, 2)),
        ("1R", "1", (1, 0), (1, 2)),
    ],
    "h4": [
        ("1", "1", (1, 1), (1, 1)),
        ("2", "2", (1, 1), (1, 1)),
    ],
    "h5": [
        ("1", "1", (1, 0), (1, 1)),
        ("2", "2", (0, 1), (1, 1)),
        ("1", "2", (0, 1), (1, 2)),
        ("2", "1", (1, 0), (1, 2)),
    ],
    "h6": [
        ("1", "1", (1, 1, 0, 0), (1, 1, 0, 0)),
        ("1R", "1R", (1, 1, 0, 0), (1, 1, 0, 0)),
        ("2", "2", (0, 0, 1, 1), (0, 0, 1, 1)),
        ("2R", "2R", (0, 0, 1, 1), (0, 0, 1, 1)),
        ("1", "1", (1, 0, 1, 0), (1, 1, 1, 1)),
        ("2", "2", (1, 0, 1, 0), (1, 1, 1, 1)),
        ("1R", "1R", (0, 1, 0, 1), (0, 1, 0, 1)),
        ("2R", "2R", (0, 1, 0, 1), (0, 1, 0, 1)),
    ],
    "h7": [
        ("1", "1", (1, 0, 0, 0), (1, 1, 0, 0)),
        ("1R", "1R", (0, 1, 0, 0), (1, 1, 0, 0)),
        ("1", "1R", (0, 1, 0, 0), (1, 2, 0, 0)),
        ("1R", "1", (1, 0, 0, 0), (1, 2, 0, 0)),
        ("2", "2R", (0, 0, 0, 1), (0, 0, 1, 1)),
        ("2R", "2", (0, 0, 1, 0), (0, 0, 1, 1)),
        ("1", "1", (1, 0, 1, 0), (1, 1, 1, 0)),
        ("2", "2", (1, 0, 1, 0), (1, 1, 1, 0)),
        ("1R", "1R", (0, 1, 0, 1), (1, 2, 1, 1)),
        ("2R", "2R", (0, 1, 0, 1), (1, 2, 1, 1)),
    ],
    "h8": [
        ("1", "1", (1, 0, 0, 0), (1, 0, 1, 0)),
        ("2", "2", (0, 0, 1, 0), (1, 0, 1, 0)),
        ("1", "1", (1, 1, 0, 0), (1, 1, 1, 0)),
        ("1R", "1R", (1, 1, 0, 0), (1, 1, 1, 0)),
        ("2", "2", (0, 0, 1, 1), (0, 0, 1, 1)),
        ("2R", "2R", (0, 0, 1, 1), (0, 0, 1, 1)),
        ("1", "2", (0, 0, 1, 0), (1, 1, 2, 1)),
        ("2", "1", (1, 0, 0, 0), (1, 1, 2, 1)),
        ("1R", "2R", (0, 0, 0, 1), (0, 1, 0, 1)),
        ("2R", "1R", (0, 1, 0, 0), (0, 1, 0, 1)),
    ],
    "h9": [
        ("1", "1", (1, 0, 0, 0), (1, 1, 0, 0)),
        ("1R", "1R", (0, 1, 0, 0), (1, 1, 0, 0)),
        ("1", "1", (1, 0, 0, 0), (1, 1, 1, 0)),
        ("2", "2", (0, 0, 1, 0), (1, 1, 1, 0)),
        ("1", "1R", (0, 1, 0, 0), (1, 2, 1, 0)),
        ("1R", "1", (1, 0, 0, 0), (1, 2, 1, 0)),
        ("2", "2R", (0, 0, 0, 1), (0, 0, 1, 1)),
        ("2R", "2", (0, 0, 1, 0), (0, 0, 1, 1)),
        ("1", "2", (0, 0, 1, 0), (1, 1, 2, 0)),
        ("2", "1", (1, 0, 0, 0), (1, 1, 2, 0)),
        ("1R", "2R", (0, 0, 0, 1), (1, 2, 2, 1)),
        ("2R", "1R", (0, 1, 0, 0), (1, 2, 2, 1)),
    ],
}


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
def test_versions_and_number_of_terms(hypothesis: str) -> None:
    assert versions_of(hypothesis) == KEPT[hypothesis][0]
    terms = terms_of(hypothesis)
    assert len(terms) == KEPT[hypothesis][1]
    assert sum(term.weight for term in terms) == pytest.approx(1)


def test_distinct_in_direction_has_ones_own_reversal_as_negative() -> None:
    forwards, backwards = terms_of("h2")
    assert (forwards.query, forwards.positive, forwards.near, forwards.far) == (0, 0, (1, 1), (1, 1))
    assert (backwards.query, backwards.positive, backwards.near, backwards.far) == (1, 1, (1, 1), (1, 1))


def test_invariant_to_time_has_the_other_time_as_positive_and_ones_own_nowhere() -> None:
    terms = terms_of("h5")
    assert [(term.query, term.positive, term.near, term.far) for term in terms] == [
        (0, 0, (1, 0), (1, 1)),
        (1, 1, (0, 1), (1, 1)),
        (0, 1, (0, 1), (1, 1)),
        (1, 0, (1, 0), (1, 1)),
    ]


def test_cross_modal_baseline_compares_one_version_alone() -> None:
    (term,) = terms_of("h1", "released")
    assert (term.near, term.far, term.weight) == ((1,), (1,), 1.0)


@pytest.mark.parametrize("hypothesis", HYPOTHESES)
def test_released_counts_are_those_measured_on_the_released_code(hypothesis: str) -> None:
    versions, terms = versions_of(hypothesis), terms_of(hypothesis, "released")
    found = [(versions[term.query], versions[term.positive], term.near, term.far) for term in terms]
    assert found == RELEASED[hypothesis]
    assert {term.weight for term in terms} == {1 / len(terms)}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="GDT.HYPOTHESIS"):
        versions_of("h10")
    with pytest.raises(UsageError, match="GDT.NEGATIVES"):
        terms_of("h1", "mutated")
