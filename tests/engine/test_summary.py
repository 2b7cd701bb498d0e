from stica_pv.engine.summary import RunSummary


def timings(step_time: float, data_share: float, samples_per_second: float) -> dict[str, float]:
    return {"step_time": step_time, "data_share": data_share, "samples_per_second": samples_per_second}


def test_the_line_weighs_what_was_logged_by_its_time():
    summary = RunSummary(10)
    summary.add(14, {"loss": 3.0}, timings(1.0, 0.5, 8.0))  # 4 s, 2 of them waiting, 32 samples
    summary.add(20, {"loss": 2.0}, timings(2.0, 0.0, 4.0))  # 12 s, 48 samples
    line = summary.line(21, "here.pyth")
    assert line.startswith("trained 11 steps in 0:00:0")
    assert line.endswith("5.0 samples/s, data wait 12%, last loss 2.0000, checkpoint here.pyth")


def test_an_attempt_without_a_logged_step_has_a_line_too():
    assert RunSummary(3).line(4, "x") == "trained 1 steps in 0:00:00, checkpoint x"
