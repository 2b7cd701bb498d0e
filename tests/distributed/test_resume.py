"""Two processes go on from one checkpoint, or both say why they cannot."""

from typing import Any

import pytest

Two = list[dict[str, Any]]


@pytest.mark.parametrize(
    ("folders", "step"), [("one folder", 5), ("main sees less", 5), ("main sees none", None), ("same position", "")]
)
def test_every_process_goes_on_from_where_the_main_one_does(two: Two, folders: str, step: int | None | str) -> None:
    assert [result["resume"][folders] for result in two] == [step, step]


@pytest.mark.parametrize(
    ("case", "texts"),
    [
        ("main sees more", ("process 1 cannot resume", "step_00000005.pyth", "one folder that all machines share")),
        ("main may not", ("holds checkpoints and TRAIN.AUTO_RESUME is False",)),
        ("another list", ("another list of videos (hash abc, now xyz)",)),
        ("step", ("process 1 is at step 3 of 9 on the list abc, process 0 is at step 5 of 9 on the list abc",)),
        ("end", ("process 1 is at step 5 of 7 ",)),
        ("list_hash", ("process 1 is at step 5 of 9 on the list xyz",)),
    ],
)
def test_what_one_process_cannot_all_report_in_the_same_line(two: Two, case: str, texts: tuple[str, ...]) -> None:
    first, second = (result["resume"][case] for result in two)
    assert first == second
    assert "\n" not in first
    for text in texts:
        assert text in first
