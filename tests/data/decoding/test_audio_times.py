import numpy as np

from stica_pv.data.decoding.audio_times import frame_positions


def firsts(shifts: list[float], tolerance: float = 40.0) -> list[int]:
    lengths = np.full(len(shifts), 1000)
    return frame_positions(np.arange(len(shifts)) * 1000.0 + np.array(shifts), lengths, tolerance, lasting=20_000.0)


def test_frames_join_without_a_seam_over_rounded_time_stamps():
    assert np.diff(firsts([0, 20, -20, 15, 0, -20, 20])).tolist() == [1000] * 6


def test_a_single_wrong_time_stamp_moves_nothing():
    assert firsts([0, 0, 0, 448, 0, 0, 0, 0]) == list(range(0, 8000, 1000))
    assert firsts([448, 0, 0, 0, 0, 0]) == list(range(0, 6000, 1000))


def test_a_lasting_step_is_a_gap():
    assert firsts([0, 0, 0, 0, 1500, 1500, 1500, 1500]) == [0, 1000, 2000, 3000, 5500, 6500, 7500, 8500]


def test_a_drifting_clock_is_followed():
    shifts = np.linspace(0, 500, 50)
    error = np.array(firsts(shifts.tolist())) - (np.arange(50) * 1000 + shifts)
    assert np.abs(error).max() <= 40


def test_missing_time_stamps_follow_their_predecessor():
    assert firsts([7, np.nan, np.nan, 7]) == [7, 1007, 2007, 3007]
    assert firsts([np.nan, 7.0, 7.0]) == [7, 1007, 2007]
    assert firsts([np.nan, np.nan]) == []
