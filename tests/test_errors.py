"""The errors that a person reads."""

import pickle

import pytest

from stica_pv.errors import UnreadableClip, UsageError, check_choice, nearest


def test_usage_error_is_a_value_error():
    assert issubclass(UsageError, ValueError)


def test_unreadable_clip_survives_the_way_from_a_loader_worker():
    error = pickle.loads(pickle.dumps(UnreadableClip("a/b.mp4", "no video stream")))
    assert (error.path, error.cause, str(error)) == ("a/b.mp4", "no video stream", "a/b.mp4: no video stream")


def test_nearest_names_a_close_one_only():
    assert nearest("adan", ["adam", "sgd"]) == " (did you mean adam?)"
    assert nearest("zebra", ["adam", "sgd"]) == ""


def test_check_choice_returns_a_known_value_and_lists_the_choices_for_another():
    assert check_choice("SOLVER.OPTIMIZER", "sgd", iter(["sgd", "adam"])) == "sgd"
    with pytest.raises(
        UsageError, match=r"SOLVER\.OPTIMIZER: got 'sdg' \(did you mean sgd\?\); expected one of sgd, adam"
    ):
        check_choice("SOLVER.OPTIMIZER", "sdg", iter(["sgd", "adam"]))
