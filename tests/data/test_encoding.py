"""An encoder's wish for real time ends with the encoding."""

import os

import pytest

from stica_pv.data.encoding import priority_kept

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="scheduling is Linux' own")


def test_the_scheduling_is_afterwards_what_it_was():
    before = os.sched_getscheduler(0)
    assert before != os.SCHED_BATCH
    with priority_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # stands for real time, which only root may ask for
    assert os.sched_getscheduler(0) == before


def test_it_is_so_after_an_error_too():
    def fail() -> None:
        with priority_kept():
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            raise KeyError

    before = os.sched_getscheduler(0)
    pytest.raises(KeyError, fail)
    assert os.sched_getscheduler(0) == before
