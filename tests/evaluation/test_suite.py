import pytest
import torch
from made_videos import Colours, FakeReader, Normed, videos
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.evaluation import Comparison, FeatureSet, compare, evaluate, table
from stica_pv.evaluation.suite import PIXELS, RANDOM, STILL, TRAINED, MiddleFrame, StillFrame
from stica_pv.registry import EVALUATIONS

CPU = torch.device("cpu")
GOOD, BAD = torch.eye(4).repeat(3, 1), torch.ones(12, 4)
LABELS = torch.arange(4).repeat(3)


def comparison(**features: Tensor) -> Comparison:
    names = {"trained": TRAINED, "still": STILL, "pixels": PIXELS, "random": RANDOM[0], "reestimated": RANDOM[1]}
    sets = {names[name]: FeatureSet(rows, LABELS) for name, rows in features.items()}
    return Comparison(sets, sets, "raw", 1)


def test_random_initialisation_is_shown_at_its_best():
    results = evaluate(["retrieval", "knn"], comparison(trained=BAD, random=BAD, reestimated=GOOD))
    assert results["retrieval/R@1"] == results["knn/top1"] == 25.0
    assert results["retrieval/R@1/random_init"] == results["knn/top1/random_init"] == 100.0
    assert results["chance/top1"] == 25.0


def test_random_initialisation_may_be_processed_better_than_the_trained_features():
    hidden = 1000 + 1e-1 * GOOD  # a large common part, gone after centring
    random = evaluate(["knn"], comparison(trained=hidden, random=hidden, reestimated=hidden))
    assert random["knn/top1/random_init"] == 100.0


def test_without_training_there_is_only_random_initialisation():
    results = evaluate(["retrieval"], comparison(random=GOOD, reestimated=BAD))
    assert "retrieval/R@1" not in results
    assert results["retrieval/R@1/random_init"] == 100.0


def test_single_frame_probe_tells_what_pixels_and_stills_give_away():
    results = evaluate(["single_frame"], comparison(still=GOOD, pixels=GOOD))
    assert results["single_frame/linear/top1"] == results["single_frame/encoder/R@1"] == 100.0
    assert evaluate(["single_frame"], comparison(pixels=BAD))["single_frame/linear/top1"] == 25.0


def test_an_unknown_evaluation_names_the_known_ones():
    assert {"knn", "retrieval", "single_frame"} <= set(EVALUATIONS.names())
    with pytest.raises(UsageError, match="did you mean knn"):
        evaluate(["knnn"], comparison(random=GOOD))


def test_the_table_has_a_line_for_each_score_beside_random():
    lines = table({"chance/top1": 25.0, "knn/top1/random_init": 30.0, "knn/top1": 61.26, "new/x/random_init": 7.0})
    shown = {line.split()[0]: line.split()[1:] for line in lines.splitlines()[1:]}
    assert shown == {"chance/top1": ["25.0"], "knn/top1": ["61.3", "30.0"], "new/x": ["7.0"]}


def test_a_still_frame_is_the_middle_one_repeated():
    video = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(2, 3, 5, 4, 4)
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.flatten(1)

    StillFrame(Watch())(video)
    assert seen[0].shape == video.shape
    assert set(seen[0].flatten().tolist()) == {2.0}
    assert set(MiddleFrame()(video).flatten().tolist()) == {2.0}


def test_comparing_reads_every_video_once_and_leaves_random_initialisation_as_it_was():
    readers = FakeReader(), FakeReader()
    random = Normed()
    before = random.norm.running_var.clone()  # type: ignore[union-attr]
    found = compare(
        Colours(),
        random,
        videos(6, reader=readers[0]),
        videos(4, reader=readers[1]),
        device=CPU,
        batch_size=4,
        num_workers=0,
        processing="raw",
        knn_k=1,
    )
    assert found.gallery.keys() == found.queries.keys() == {TRAINED, STILL, PIXELS, *RANDOM}
    assert len(readers[1].paths) == 4
    assert len(readers[0].paths) == 6 + 6  # once more for the statistics of batch-norm
    assert torch.equal(random.norm.running_var, before)  # type: ignore[arg-type]
    assert not torch.allclose(found.gallery[RANDOM[0]].features, found.gallery[RANDOM[1]].features, atol=1e-3)


def test_planted_videos_give_full_marks_from_end_to_end():
    found = compare(
        Colours(), Normed(), videos(6), videos(6), device=CPU, batch_size=4, num_workers=0, processing="raw", knn_k=1
    )
    results = evaluate(["retrieval", "knn"], found)
    assert results["retrieval/R@1"] == results["knn/top1"] == 100.0
    assert results["chance/top1"] == pytest.approx(100 / 6)
