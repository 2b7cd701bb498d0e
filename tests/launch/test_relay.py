"""Signals that end a command reach the processes that it has started; Ctrl-C twice kills them."""

import os
import signal

import pytest

from stica_pv.launch.relay import ENDING, SignalRelay

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_handed_on_as_a_request_to_save_and_end(number: signal.Signals):
    sent: list[int] = []
    before = signal.getsignal(number)
    with SignalRelay(sent.append) as relay:
        assert relay.number == 0
        os.kill(os.getpid(), number)
        assert (relay.number, sent) == (number, [signal.SIGTERM])
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_kills_and_no_other_signal_counts_as_one():
    sent: list[int] = []
    with SignalRelay(sent.append) as relay:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert sent == [signal.SIGTERM] * 3 + [signal.SIGKILL]
    assert relay.number == signal.SIGTERM


def test_what_nohup_has_started_does_not_hear_of_a_closed_terminal():
    sent: list[int] = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalRelay(sent.append):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert sent == []
