import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from made_videos import CLIP_FORMAT, RATE_HZ, SECONDS, FakeReader, labeled_set, made_context
from torch import Tensor

from stica_pv.config import apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.evaluation.baselines import MOTION, LoudnessEnvelope, MotionEnvelope, Trivial
from stica_pv.evaluation.evaluated_model import EvaluatedModel, content_hash
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.synchrony import Synchrony, baselines_of, synchrony_from_config
from stica_pv.evaluation.protocols.synchrony_scores import (
    median_metric,
    moment_hits,
    moment_similarity,
    offset_errors_ms,
    offset_hits,
    other_sources,
    shift_scores,
)
from stica_pv.evaluation.suite import run_evaluations
from stica_pv.structures import Clip, ClipRequest
from stica_pv.tasks.encoders import PROJECTED

PROTOCOL = Synchrony(moments=7, step_seconds=0.05, max_shift=2, seed=0)


def feature_set(features: Tensor, siblings: int = 1) -> FeatureSet:
    items = torch.arange(len(features))
    return FeatureSet(features, items, items // siblings)


def pair(items: int = 12, *, spread: float = 0.0, lag: int = 0) -> tuple[FeatureSet, FeatureSet]:
    """Returns both modalities of items whose moments all differ; the audio lags by some steps."""
    rng = torch.Generator().manual_seed(0)
    line = torch.randn(items, PROTOCOL.moments + abs(lag), 16, generator=rng)
    video = line[:, max(0, -lag) :][:, : PROTOCOL.moments]
    audio = line[:, max(0, lag) :][:, : PROTOCOL.moments]
    return feature_set(video), feature_set(audio + spread * torch.randn(audio.shape, generator=rng))


def scores(video: FeatureSet, audio: FeatureSet) -> dict[str, float]:
    return {metric.name: metric.value for metric in PROTOCOL.metrics(video, audio)}


def slow(video: FeatureSet, audio: FeatureSet, partner: list[int]) -> dict[str, float]:
    """Written out, moment by moment."""
    n, m, step = PROTOCOL.moments, PROTOCOL.max_shift, 1000 * PROTOCOL.step_seconds
    hits: dict[str, list[float]] = {"v": [], "a": []}
    errors: list[float] = []
    for item, other in enumerate(partner):
        x, y = (F.normalize(part, dim=1) for part in (video.features[item], audio.features[other]))
        s = [[float(x[i] @ y[j]) for j in range(n)] for i in range(n)]
        hits["v"].append(sum(max(range(n), key=lambda j: s[i][j]) == i for i in range(n)) / n)
        hits["a"].append(sum(max(range(n), key=lambda i: s[i][j]) == j for j in range(n)) / n)
        by_shift = {k: sum(s[i][i + k] for i in range(m, n - m)) for k in range(-m, m + 1)}
        errors.append(abs(max(by_shift, key=by_shift.__getitem__)) * step)
    return {
        "moment/video_to_audio/{}R@1": 100 * statistics.mean(hits["v"]),
        "moment/audio_to_video/{}R@1": 100 * statistics.mean(hits["a"]),
        "offset/{}within 40 ms": 100 * statistics.mean(error <= 40 for error in errors),
        "offset/{}within 100 ms": 100 * statistics.mean(error <= 100 for error in errors),
        "offset/{}median error ms": statistics.median_low(errors),
    }


def test_scores_and_shuffled_controls_are_those_written_out():
    video, audio = pair(spread=1.5)
    found = scores(video, audio)
    own = slow(video, audio, list(range(12)))
    shuffled = slow(video, audio, other_sources(video.groups).tolist())
    for control, expected in (("", own), ("shuffled ", shuffled)):
        assert {name: found[name.format(control)] for name in expected} == pytest.approx(expected)
    assert 30 < own["moment/video_to_audio/{}R@1"] < 95  # neither all nor none


def test_synchronous_features_score_fully_and_the_control_at_chance():
    found = scores(*pair(200))
    for query, gallery in (("video", "audio"), ("audio", "video")):
        assert found[f"moment/{query}_to_{gallery}/R@1"] == found[f"clip/{query}_to_{gallery}/R@1"] == 100
        chance = found[f"moment/{query}_to_{gallery}/chance R@1"]
        assert chance == pytest.approx(100 / 7)
        assert found[f"moment/{query}_to_{gallery}/shuffled R@1"] == pytest.approx(chance, abs=4)
        assert found[f"clip/{query}_to_{gallery}/chance R@1"] == pytest.approx(100 / 200)
    assert found["offset/within 40 ms"] == 100
    assert found["offset/median error ms"] == 0
    assert found["offset/chance within 40 ms"] == pytest.approx(20)  # of -100, -50, 0, 50, 100 ms
    assert found["offset/chance within 100 ms"] == pytest.approx(100)
    assert found["offset/chance median error ms"] == pytest.approx(50)


@pytest.mark.parametrize("lag", [-2, 1])
def test_a_planted_offset_is_found(lag: int):
    found = scores(*pair(lag=lag))
    assert found["offset/median error ms"] == pytest.approx(50 * abs(lag))
    assert found["offset/within 40 ms"] == 0
    assert found["moment/video_to_audio/R@1"] < 15  # the ends have no counterpart


def test_a_constant_scores_exactly_chance():
    same = feature_set(torch.zeros(6, 7, 4))
    found = scores(same, same)
    for name in ("moment/video_to_audio/{}R@1", "offset/{}within 40 ms", "offset/{}within 100 ms"):
        assert found[name.format("")] == pytest.approx(found[name.format("chance ")])
    assert float(offset_errors_ms(torch.zeros(1, 5), 0.05)) == pytest.approx(60)  # mean of 100, 50, 0, 50, 100
    assert float(offset_hits(torch.zeros(1, 5), 0.1, 100)) == pytest.approx(0.6)
    assert moment_hits(torch.zeros(1, 4, 4)).tolist() == pytest.approx([0.25])


def test_unreadable_items_are_as_bad_as_possible():
    video, audio = pair(4)
    audio.features[1] = torch.nan
    found = scores(video, audio)
    assert found["moment/video_to_audio/R@1"] == found["offset/within 40 ms"] == 75
    errors = next(m for m in PROTOCOL.metrics(video, audio) if m.name == "offset/median error ms")
    only_bad = torch.tensor([[0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    assert float(errors.statistic(only_bad)) == pytest.approx(100)


def test_the_median_counts_each_item_as_often_as_it_was_drawn():
    metric = median_metric("m", torch.tensor([30.0, 10.0, 20.0]), paired_with="x")
    weights = torch.tensor([[1, 1, 1], [3, 1, 1], [0, 2, 2], [0, 0, 5]], dtype=torch.float64)
    drawn = [[10, 20, 30], [10, 20, 30, 30, 30], [10, 10, 20, 20], [20] * 5]
    assert metric.statistic(weights).tolist() == pytest.approx([statistics.median_low(row) for row in drawn])
    assert metric.paired_with == "x"


def test_controls_are_of_other_sources():
    groups = torch.tensor([3, 3, 1, 0, 0, 2, 1])
    partner = other_sources(groups)
    assert sorted(partner.tolist()) == list(range(7))
    assert bool((groups != groups[partner]).all())
    assert other_sources(torch.zeros(3, dtype=torch.int64)).tolist() != [0, 1, 2]


def test_every_shift_is_judged_on_the_same_moments():
    similarity = torch.arange(25.0).view(1, 5, 5)
    assert shift_scores(similarity, 1).tolist() == [[(5 + 11 + 17) / 3, (6 + 12 + 18) / 3, (7 + 13 + 19) / 3]]
    with pytest.raises(ValueError, match="need 7 moments, got 5"):
        shift_scores(similarity, 3)
    with pytest.raises(ValueError, match="equal shape"):
        moment_similarity(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5))


class TimedReader(FakeReader):
    """Frames and audio that both tell their time and the number of their video."""

    def _clip(self, path: str, request: ClipRequest) -> Clip:
        clip = super()._clip(path, request)
        times = request.window.start_s + torch.arange(request.audio_samples) / RATE_HZ
        number = float(path.removesuffix(".mp4"))
        return replace(clip, audio=number + times / 10, audio_valid=1.0)


def directions(numbers: Tensor, times: Tensor) -> Tensor:
    """Returns a vector (B, 4) for each number and time, on two circles."""
    return torch.stack([times.cos(), times.sin(), numbers.cos(), numbers.sin()], dim=1)


class TimedVideo(Trivial):
    offers = (PROJECTED,)

    def vector(self, x: Tensor) -> Tensor:
        first = x[:, :, 0].float().mean(dim=(2, 3))
        return directions(first[:, 0] / 10, first[:, 1] / 10)


class TimedAudio(Trivial):
    offers = (PROJECTED,)

    def __init__(self, lag_s: float) -> None:
        super().__init__()
        self.lag_s = lag_s

    def vector(self, x: Tensor) -> Tensor:
        first = x[:, 0]
        return directions(first.floor(), 10 * (first - first.floor()) - self.lag_s)


def timed(name: str, lag_s: float, kind: Any = "trained") -> EvaluatedModel:
    encoders = {"video": TimedVideo(), "audio": TimedAudio(lag_s)}
    return EvaluatedModel(name, kind, encoders, CLIP_FORMAT, content_hash(encoders, name))


def test_moments_are_read_at_the_same_time_in_both_modalities(tmp_path: Path):
    protocol = Synchrony(moments=5, step_seconds=0.5, max_shift=2, seed=0)
    models = [timed("exact", 0.0), timed("late", 0.5), timed("random_init", 1.0, "random")]
    reader = TimedReader()
    context = made_context(tmp_path, models, labeled_set(24), reader=reader)
    results = run_evaluations([protocol], context)
    numbers = results.flat()
    assert numbers["synchrony/moment/video_to_audio/R@1/exact"] == 100
    assert numbers["synchrony/clip/video_to_audio/R@1/exact"] == 100
    assert numbers["synchrony/offset/median error ms/exact"] == 0
    assert numbers["synchrony/offset/median error ms/late"] == pytest.approx(500)
    assert numbers["synchrony/offset/median error ms/random_init"] == pytest.approx(1000)
    assert numbers["synchrony/moment/audio_to_video/R@1/exact/low"] <= 100
    assert len(reader.paths) == 2 * 12  # each file once for frames and once for audio, for all models
    (view,) = {row.views for row in results.rows}
    assert view == "5 x 1 + 5 windows"


def test_short_items_are_left_out_and_too_few_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    fits = Synchrony(moments=5, step_seconds=0.5, max_shift=2, seed=0)
    context = made_context(tmp_path, [timed("a", 0.0)], labeled_set(24), reader=TimedReader())
    lengths = [SECONDS] * 24
    lengths[int(context.labeled.folds[0].test[0])] = 2.0
    context.durations_s = lambda modality: lengths  # type: ignore[method-assign]
    with caplog.at_level("INFO"):
        rows = run_evaluations([fits], context).rows
    assert {row.n for row in rows} == {11}
    assert "1 of 12 test items of fold 1 are too short for all moments and are left out" in caplog.text
    with pytest.raises(UsageError, match=r"0 of 12 test items .* long enough for 7 moments every 0.5 s"):
        Synchrony(moments=7, step_seconds=0.5, max_shift=2, seed=0).feature_jobs(context)


def test_motion_and_loudness_correlate_where_they_come_together():
    rng = torch.Generator().manual_seed(0)
    fps, rate_hz, frames, moments = 10, 400, 12, 9
    jumps = torch.randint(0, 60, (frames + moments,), generator=rng)
    signs = torch.where(torch.arange(len(jumps)) % 2 == 0, 1, -1)
    brightness = (100 + (jumps * signs).cumsum(dim=0)).clamp(0, 255)
    change = brightness.diff().abs().float()
    noise = torch.randn(len(change), rate_hz // fps, generator=rng)
    noise = noise / noise.square().mean(dim=1, keepdim=True).sqrt()
    audio = (noise * change.unsqueeze(1)).flatten() / 100
    videos = torch.stack([brightness[i : i + frames] for i in range(moments)]).to(torch.uint8)
    clips = videos.view(moments, 1, frames, 1, 1).expand(-1, 3, -1, 4, 4)
    step = rate_hz // fps
    windows = torch.stack([audio[i * step : (i + frames) * step] for i in range(moments)])
    envelope = LoudnessEnvelope(frames=frames, fps=fps, sample_rate_hz=rate_hz)
    x, y = MotionEnvelope()(clips, PROJECTED), envelope(windows, PROJECTED)
    similarity = moment_similarity(x.unsqueeze(0), y.unsqueeze(0))
    torch.testing.assert_close(similarity[0].diagonal(), torch.ones(moments, dtype=torch.float64), atol=1e-5, rtol=0)
    assert moment_hits(similarity).tolist() == [1.0]
    expected = torch.corrcoef(torch.stack([change[:11], change[3:14]]))[0, 1].double()
    torch.testing.assert_close(similarity[0, 0, 3], expected, atol=1e-5, rtol=0)


def test_the_baseline_needs_three_frames():
    model = timed("a", 0.0)
    assert baselines_of([model]) == baselines_of([]) == []  # clips of two frames
    (found,) = baselines_of([replace(model, clip_format=replace(CLIP_FORMAT, frames=3))])
    assert found.name == MOTION
    assert all(map(found.offers, PROTOCOL.test_requests().values()))


def test_keys_build_the_protocol_and_too_few_moments_are_refused():
    cfg = get_cfg()
    found = synchrony_from_config(cfg)
    assert found == Synchrony(moments=11, step_seconds=0.1, max_shift=5, seed=cfg.RNG_SEED)
    apply_overrides(cfg, ["TEST.SYNCHRONY.MOMENTS", "10"])
    with pytest.raises(UsageError, match="MOMENTS 10: .* need at least 11 moments"):
        synchrony_from_config(cfg)
