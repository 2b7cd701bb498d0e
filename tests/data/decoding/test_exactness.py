import os

import numpy as np
import pytest

from stica_pv.commands.reader_check import matrix, measure, signals, specimens


def check(specimen, folder):
    if not specimens.can_write(specimen):
        pytest.skip(f"no encoder {specimen.video} or {specimen.audio} here")
    scheduling = os.sched_getscheduler(0) if hasattr(os, "sched_getscheduler") else None
    errors = measure.check_ours(specimen, specimens.write(specimen, folder))
    if scheduling is not None:
        assert os.sched_getscheduler(0) == scheduling
    assert errors.good != bool(specimen.cause), errors.details


@pytest.mark.parametrize("specimen", matrix.FEW, ids=lambda specimen: specimen.name)
def test_each_kind_of_file_is_read_exactly(specimen, tmp_path):
    check(specimen, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("specimen", matrix.ALL, ids=lambda specimen: specimen.name)
def test_every_container_codec_and_property_is_read_exactly_or_has_a_named_cause(specimen, tmp_path):
    check(specimen, tmp_path)


def test_the_measure_finds_a_lag_of_a_fifth_of_a_millisecond():
    times = 1.0 + 0.0002 + np.arange(8000) / 16000
    assert signals.lag_seconds(signals.audio_at(times), 1.0, 16000) == pytest.approx(-0.0002, abs=1e-5)
    assert signals.lag_seconds(np.random.default_rng(0).normal(size=8000).astype(np.float32), 1.0, 16000) is None


def test_the_measure_finds_a_wrong_frame():
    errors = measure.Errors()
    errors.note_frames("x", [0.0, 0.08], [0.0, 0.04])
    assert (errors.wrong, round(errors.frame_s, 6), errors.good) == (1, 0.04, False)
