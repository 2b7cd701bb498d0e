import pytest

from stica_pv.errors import UsageError
from stica_pv.evaluation.expected import expected_ranges


def test_a_result_is_compared_with_the_range_of_its_recipe():
    (expected,) = expected_ranges(["retrieval/R@1 same class 85 100"])
    name = "retrieval/R@1 same class"
    start = f"expected of this recipe: {name} 85 to 100; this run has"
    assert expected.compare({name: 99.44}) == f"{start} 99.4"
    assert expected.compare({name: 60.0}) == f"{start} 60.0, outside: see which keys or versions differ from the recipe"
    assert expected.compare({}) == f"{start} not evaluated it"


@pytest.mark.parametrize("text", ["", "retrieval/R@1 85", "retrieval/R@1 85 to", "85 100"])
def test_another_form_is_refused(text: str):
    with pytest.raises(UsageError, match="TEST.EXPECTED: expected 'metric low high' in each text"):
        expected_ranges([text])
