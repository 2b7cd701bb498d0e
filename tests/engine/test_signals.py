import os
import signal
import threading

import pytest

from stica_pv.engine.signals import (
    AT_A_TERMINAL,
    ON_A_CLUSTER,
    Interrupted,
    SignalRequest,
    Signals,
    requeue_asked,
    signals_in_steps,
    stopping_signal,
)
from stica_pv.errors import SignalReceived

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")


def send(number: int) -> None:
    os.kill(os.getpid(), number)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", ENDING)
def test_at_a_terminal_a_signal_waits_for_the_end_of_the_step(number: signal.Signals):
    with Signals(AT_A_TERMINAL), signals_in_steps() as signals:
        assert (signals.request, signals.number) == (SignalRequest.NONE, 0)
        send(number)
        assert (signals.request, signals.number) == (SignalRequest.STOP, number)
        signals.answer(signals.request)
        assert stopping_signal() == number


@pytest.mark.parametrize("number", ENDING)
def test_at_a_terminal_a_signal_outside_the_steps_ends_at_once(number: signal.Signals):
    with Signals(AT_A_TERMINAL):
        with pytest.raises(SignalReceived) as received:
            send(number)
        assert received.value.number == number
        if number != signal.SIGINT:
            send(number)  # what is tidied up on the way is not disturbed


def test_a_signal_in_the_last_step_ends_the_run_behind_it():
    with Signals(AT_A_TERMINAL), pytest.raises(SignalReceived), signals_in_steps():
        send(signal.SIGTERM)


def test_a_closed_terminal_is_of_no_concern_to_what_nohup_has_started():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_in_steps() as signals:
            send(signal.SIGHUP)
            assert signals.request is SignalRequest.NONE
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_that_was_not_signalled_knows_the_signal_of_another():
    with Signals(AT_A_TERMINAL) as signals, signals.in_steps():
        signals.answer(SignalRequest.STOP, signal.SIGHUP)
        assert stopping_signal() == signal.SIGHUP


def test_a_second_ctrl_c_ends_at_once():
    with signals_in_steps(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 - both signals belong to the fact
        send(signal.SIGINT)
        send(signal.SIGINT)


def test_a_second_sigterm_is_still_polite():
    with signals_in_steps() as signals:
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert signals.request is SignalRequest.STOP
        signals.answer(signals.request)


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with signals_in_steps():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_may_enter():
    entered: list[SignalRequest] = []

    def enter() -> None:
        with signals_in_steps() as signals:
            entered.append(signals.request)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert entered == [SignalRequest.NONE]


def test_on_a_cluster_term_asks_to_save_and_usr2_to_requeue_which_goes_before_it():
    with Signals(ON_A_CLUSTER) as outer, signals_in_steps() as signals:
        assert signals is outer
        send(signal.SIGTERM)
        assert signals.request is SignalRequest.SAVE
        send(signal.SIGUSR2)
        assert signals.request is SignalRequest.REQUEUE
        assert requeue_asked()
        send(signal.SIGTERM)
        assert signals.request is SignalRequest.REQUEUE
        signals.answer(SignalRequest.REQUEUE)
    assert not requeue_asked()


def test_a_wish_to_save_is_fulfilled_once():
    with Signals(ON_A_CLUSTER) as signals, signals.in_steps():
        send(signal.SIGTERM)
        assert signals.answer(SignalRequest.SAVE) is SignalRequest.SAVE
        assert signals.request is SignalRequest.NONE
        assert signals.answer(SignalRequest.NONE) is SignalRequest.NONE


def test_a_process_that_was_not_asked_takes_what_the_others_agreed_on():
    with Signals(AT_A_TERMINAL) as signals, signals.in_steps():
        assert signals.answer(3) is SignalRequest.REQUEUE
        assert signals.agreed is SignalRequest.REQUEUE


def test_outside_the_steps_a_requeue_ends_the_run_where_it_is_and_only_once():
    with Signals(ON_A_CLUSTER) as signals:
        with pytest.raises(Interrupted):
            send(signal.SIGUSR2)
        send(signal.SIGUSR2)
        assert signals.request is SignalRequest.REQUEUE


def test_outside_the_steps_term_waits_and_ctrl_c_ends():
    with Signals(ON_A_CLUSTER) as signals:
        send(signal.SIGTERM)
        assert signals.request is SignalRequest.SAVE
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_a_requeue_asked_for_in_the_last_step_ends_the_run_behind_it():
    with Signals(ON_A_CLUSTER), pytest.raises(Interrupted), signals_in_steps():
        send(signal.SIGUSR2)


def test_a_requeue_that_was_agreed_on_is_not_raised_again():
    with Signals(ON_A_CLUSTER), signals_in_steps() as signals:
        send(signal.SIGUSR2)
        signals.answer(signals.request)


def test_a_reader_of_broken_files_does_not_take_a_requeue_for_one():
    assert not issubclass(Interrupted, Exception)


def test_a_worker_that_was_just_forked_notes_nothing():
    with Signals(ON_A_CLUSTER) as signals:
        child = os.fork()
        if child == 0:
            send(signal.SIGUSR2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert signals.request is SignalRequest.NONE
