"""Classification: loss, parameter groups, views and refusals."""

import math

import pytest
import torch
from tiny_runs import TINY
from tiny_task import CHANNELS, FRAMES, SIZE, create_trunk
from torch import nn

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.engine import create_optimizer
from stica_pv.engine.optimizer import set_lr
from stica_pv.errors import UsageError
from stica_pv.models import AveragePool, create_audio_resnet9
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, StepKeys
from stica_pv.tasks import Classification, Classifier
from stica_pv.tasks.classification.classification import ClassificationClip
from stica_pv.tasks.encoders import AudioEncoder
from stica_pv.transforms import ColorSettings, RandomResizedCrop, create_log_mel

CLASSES = 5
CALM = ColorSettings(jitter_prob=0.0, gray_prob=0.0, blur_prob=0.0)


def create(**changes: float) -> Classification:
    torch.manual_seed(0)
    clip = ClassificationClip(FRAMES, 16.0, SIZE, RandomResizedCrop(), CALM)
    return Classification(
        clip=clip, backbone=create_trunk(), pool=AveragePool(CHANNELS), dim=CHANNELS, classes=CLASSES, **changes
    )


def batch_of(labels: list[int] | None, count: int = 4) -> Batch:
    video = torch.randint(0, 256, (count, 3, FRAMES, SIZE, SIZE), dtype=torch.uint8)
    label = None if labels is None else torch.tensor(labels)
    return Batch({"clip": video}, {}, {}, torch.arange(count), label)


def keys_of(count: int = 4) -> StepKeys:
    return StepKeys(seed=1, step=0, epoch=0, indices=tuple(range(count)))


def cfg_of(*arguments: object) -> CfgNode:
    cfg = get_cfg()
    tiny = {f"{section}.{key}": value for section, keys in TINY.items() for key, value in keys.items()}
    apply_overrides(cfg, [str(argument) for pair in tiny.items() for argument in pair])
    apply_overrides(cfg, ["TASK", "classification", *map(str, arguments)])
    return cfg


def test_the_loss_is_the_mean_cross_entropy_written_out():
    task, labels = create().eval(), [0, 4, 2, 2]
    batch, params = batch_of(labels), create().sample_params(keys_of())
    terms = task(batch, params)
    logits = Classifier(task)(batch.video["clip"]).tolist()
    slow = [math.log(sum(math.exp(x) for x in row)) - row[label] for row, label in zip(logits, labels, strict=True)]
    assert terms.total.item() == pytest.approx(sum(slow) / 4, rel=1e-5)
    best = [max(range(CLASSES), key=row.__getitem__) for row in logits]
    assert float(terms.scalars["accuracy"]) == sum(a == b for a, b in zip(best, labels, strict=True)) / 4


def test_gradients_reach_every_parameter():
    task = create()
    task(batch_of([0, 1, 2, 3]), task.sample_params(keys_of())).total.backward()
    assert [name for name, p in task.named_parameters() if p.grad is None or not bool(p.grad.any())] == []


def test_the_classifier_begins_orthogonal_without_bias():
    weight = create().classifier.weight
    torch.testing.assert_close(weight @ weight.mT, torch.eye(CLASSES), rtol=0, atol=1e-5)
    assert not bool(create().classifier.bias.any())


def test_each_group_learns_at_its_own_rate_and_all_parameters_are_in_one():
    task = create(backbone_lr_scale=0.1, pool_lr_scale=0.5)
    task.pool = nn.Linear(CHANNELS, CHANNELS)
    optimizer = create_optimizer(task.parameter_groups(), method="sgd", weight_decay=5e-3)
    set_lr(optimizer, 0.02)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == {"classifier": 0.02, "backbone": pytest.approx(0.002), "pool": pytest.approx(0.01)}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {5e-3}
    grouped = {id(p) for group in task.parameter_groups() for p in group.parameters}
    assert grouped == {id(p) for p in task.parameters()}


def test_colors_are_drawn_by_sample_and_applied():
    torch.manual_seed(0)
    clip = ClassificationClip(FRAMES, 16.0, SIZE, RandomResizedCrop(), ColorSettings(jitter_prob=1.0, blur_prob=0.0))
    task = Classification(clip=clip, backbone=create_trunk(), pool=AveragePool(CHANNELS), dim=CHANNELS, classes=2)
    batch = batch_of([0, 1, 0, 1])
    first, again = (task.prepare(batch, task.sample_params(keys_of()))["video"] for _ in range(2))
    assert torch.equal(first, again)  # exact: the same code with the same shapes, twice
    calm = create().prepare(batch, create().sample_params(keys_of()))["video"]
    assert all(not torch.allclose(a, b) for a, b in zip(first, calm, strict=True))


def test_short_videos_are_looped_and_nothing_is_left_out():
    views = create().views()
    assert views.min_seconds == 0.0
    assert not views.needs_audio
    rng = torch.Generator().manual_seed(0)
    (window,) = views.sample_windows(0.1, rng).values()
    assert (window.start_s, window.seconds, window.at_end) == (0.0, FRAMES / 16.0, "loop")
    starts = [next(iter(views.sample_windows(10.0, rng).values())).start_s for _ in range(20)]
    assert len(set(starts)) == 20
    assert 0 <= min(starts) < max(starts) <= 10 - FRAMES / 16.0


def test_the_last_frame_of_a_short_video_stays_where_that_is_asked_for():
    task = TASKS.get("classification")(cfg_of("MODEL.NUM_CLASSES", 7, "CLASSIFICATION.SHORT_VIDEOS", "repeat_last"))
    (window,) = task.views().sample_windows(0.1, torch.Generator()).values()
    assert (window.start_s, window.at_end) == (0.0, "pad")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "needs a label for each video"), ([0, 5], r"MODEL.NUM_CLASSES is 5, but the list has a label 5: .* 6")],
)
def test_lists_that_cannot_be_learned_are_refused(labels: list[int] | None, message: str):
    create().check_labels([0, 4])
    with pytest.raises(UsageError, match=message):
        create().check_labels(labels)


def test_it_is_built_from_the_configuration():
    task = TASKS.get("classification")(cfg_of("MODEL.NUM_CLASSES", 7, "CLASSIFICATION.BACKBONE_LR_SCALE", 0.3))
    assert task.classifier.out_features == 7
    assert {group.name: group.lr_scale for group in task.parameter_groups()} == {
        "classifier": 1.0, "backbone": 0.3, "pool": 0.1,
    }  # fmt: skip
    assert task.encoders()["video"](torch.zeros(1, 3, 4, 32, 32, dtype=torch.uint8)).shape == (1, task.pool.out_dim)


def test_without_a_number_of_classes_it_is_refused():
    with pytest.raises(UsageError, match="MODEL.NUM_CLASSES, at least 2; got 0"):
        TASKS.get("classification")(cfg_of())


def test_audio_decides_where_frames_are_equal():
    torch.manual_seed(0)
    rate = 8000
    audio = AudioEncoder(create_log_mel(sample_rate_hz=rate, bands=16, fft_size=512), create_audio_resnet9(width=2))
    task = Classification(
        clip=ClassificationClip(FRAMES, 16.0, SIZE, RandomResizedCrop(), CALM, audio_rate_hz=rate),
        backbone=create_trunk(),
        pool=AveragePool(CHANNELS),
        dim=CHANNELS + 16,
        classes=2,
        audio=audio,
    )
    assert task.views().needs_audio
    assert [group.name for group in task.parameter_groups()] == ["classifier", "backbone", "audio"]
    label = torch.arange(8) % 2
    times = torch.arange(rate // 2) / rate
    tones = torch.stack([torch.sin(2 * math.pi * (300 + 2000 * int(one)) * times) for one in label])
    frames = torch.full((8, 3, FRAMES, SIZE, SIZE), 100, dtype=torch.uint8)
    batch = Batch({"clip": frames}, {"clip": tones}, {"clip": torch.ones(8)}, torch.arange(8), label)
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2)
    params = task.sample_params(keys_of(8))
    for _ in range(10):
        optimizer.zero_grad()
        terms = task(batch, params)
        terms.total.backward()
        optimizer.step()
    assert float(terms.scalars["accuracy"]) == 1.0
    with pytest.raises(ValueError, match="expected an audio tower for clips with audio alone"):
        Classification(clip=task.clip, backbone=create_trunk(), pool=AveragePool(CHANNELS), dim=CHANNELS, classes=2)
