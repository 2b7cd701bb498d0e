"""The attentive probe: its attention, its grid, and tokens with a known answer."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from planted_features import mixed_labels
from torch import Tensor

from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.attentive import BEST, Attentive
from stica_pv.evaluation.protocols.attentive_probe import Attention, AttentiveProbe, ProbeRecipe, fit_probes
from stica_pv.evaluation.protocols.catalog import attentive

CLASSES, WIDTH, TOKENS = 4, 16, 9


def protocol_of(**keys: object) -> Attentive:
    cfg = get_cfg()
    modality = keys.pop("MODALITY", "video")
    cfg.TEST.MODALITY, cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = modality, 1, keys.pop("CROPS", 1)
    given: dict[str, object] = {"DEPTH": 1, "HEADS": 2, "EPOCHS": 30, "LRS": [3e-3], "WEIGHT_DECAYS": [0.01], **keys}
    for key, value in given.items():
        cfg.TEST.ATTENTIVE[key] = value
    cfg.TEST.ATTENTIVE.BATCH_SIZE = 32
    protocol = attentive(cfg).protocol
    assert isinstance(protocol, Attentive)
    return protocol


def hidden(count: int, seed: int, *, crops: int = 1) -> FeatureSet:
    """Items with one token of the class, marked by another channel, among tokens of other classes without the mark."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) // 2 % CLASSES
    tokens = torch.randint(CLASSES, (count, TOKENS * crops), generator=rng)
    marked = torch.randint(TOKENS, (count,), generator=rng)
    features = 0.1 * torch.randn(count, TOKENS * crops, WIDTH, generator=rng)
    features += F.one_hot(tokens, WIDTH)
    for crop in range(crops):
        at = torch.arange(count), marked + TOKENS * crop
        features[at] = F.one_hot(labels, WIDTH) + 3.0 * F.one_hot(torch.full((count,), WIDTH - 1), WIDTH)
    return FeatureSet(features, labels, torch.arange(count) // 2)


def written_out(attention: Attention, queries: Tensor, tokens: Tensor) -> Tensor:
    width = queries.shape[-1] // attention.heads
    out = torch.zeros_like(queries)
    kv = attention.kv(tokens)
    for b in range(len(queries)):
        for head in range(attention.heads):
            own = slice(head * width, (head + 1) * width)
            shifted = slice(queries.shape[-1] + head * width, queries.shape[-1] + (head + 1) * width)
            q, k, v = attention.q(queries)[b, :, own], kv[b, :, own], kv[b, :, shifted]
            out[b, :, own] = (q @ k.T / width**0.5).softmax(dim=1) @ v
    return attention.out(out)


def test_attention_is_the_written_out_one():
    torch.manual_seed(0)
    attention = Attention(12, 3)
    queries, tokens = torch.randn(2, 4, 12), torch.randn(2, 7, 12)
    torch.testing.assert_close(attention(queries, tokens), written_out(attention, queries, tokens), atol=1e-5, rtol=0)


def test_a_probe_ignores_the_order_of_tokens_and_starts_as_published():
    probe = AttentiveProbe([WIDTH], CLASSES, depth=4, heads=4, rng=torch.Generator().manual_seed(0))
    tokens = torch.randn(3, TOKENS, WIDTH)
    torch.testing.assert_close(probe([tokens]), probe([tokens[:, torch.randperm(TOKENS)]]))
    assert len(probe.blocks) == 4
    first, last = probe.blocks[0].attention.out.weight.std(), probe.blocks[3].attention.out.weight.std()
    assert float(first / last) == pytest.approx(2.0, rel=0.2)  # 1 / sqrt(2 n)
    assert probe.query.std() < 0.05
    assert all(float(p.abs().sum()) == 0 for name, p in probe.named_parameters() if name.endswith("out.bias"))


@pytest.mark.parametrize("depth", [1, 2])
def test_the_query_finds_the_marked_token(depth: int):
    train, test = hidden(256, 0), hidden(64, 1)
    protocol = protocol_of(DEPTH=depth, LRS=[3e-3])
    found = {metric.name: metric.value for metric in protocol.score({"video": train}, {"video": test}, seed=0)}
    assert found["top1"] > 95
    mean = {"video": replace(train, features=train.features.mean(dim=1, keepdim=True))}
    plain = {"video": replace(test, features=test.features.mean(dim=1, keepdim=True))}
    assert protocol.score(mean, plain, seed=0)[0].value < 90  # the mean hides it
    mixed = protocol.score({"video": mixed_labels(train)}, {"video": test}, seed=0)
    assert mixed[0].value < 55


def test_a_pair_is_chosen_without_the_test_items_and_the_best_of_the_test_is_named_so():
    train, test = hidden(256, 0), hidden(32, 1)
    protocol = protocol_of(LRS=[1e-9, 3e-3], WEIGHT_DECAYS=[0.01], EPOCHS=40)
    found = {metric.name: metric.value for metric in protocol.score({"video": train}, {"video": test}, seed=0)}
    assert set(found) == {"top1", f"top1 ({BEST})"}
    assert found[f"top1 ({BEST})"] >= found["top1"] > 60
    assert protocol.choose({"video": train}, seed=0) == 1
    assert "lr 1e-09, 0.003 x weight decay 0.01 by 20 % hold-out" in protocol.name


def test_probes_of_a_grid_are_those_trained_alone():
    items = hidden(64, 0)
    settings = {"classes": CLASSES, "recipe": ProbeRecipe(1, 2, 3, 32), "seed": 0, "device": torch.device("cpu")}
    pairs = [(1e-2, 0.0), (1e-3, 0.5)]
    together = fit_probes([items.features], items.labels, grid=pairs, **settings)
    for pair, probe in zip(pairs, together, strict=True):
        (alone,) = fit_probes([items.features], items.labels, grid=[pair], **settings)
        torch.testing.assert_close(probe([items.features]), alone([items.features]), atol=1e-5, rtol=1e-4)


def test_both_modalities_are_one_set_of_tokens_beside_each_alone():
    train, test = hidden(256, 0), hidden(32, 1)
    rng = torch.Generator().manual_seed(0)
    audio = [
        FeatureSet(0.1 * torch.randn(len(one), 5, 8, generator=rng), one.labels, one.groups) for one in (train, test)
    ]
    protocol = protocol_of(MODALITY="video+audio", EPOCHS=40)
    assert set(protocol.train_requests()) == {"video", "audio"}
    metrics = protocol.score({"video": train, "audio": audio[0]}, {"video": test, "audio": audio[1]}, seed=0)
    found = {metric.name: metric.value for metric in metrics}
    assert found["video top1"] > 80
    assert found["both top1"] > 60
    assert found["audio top1"] < 60


def test_crops_of_the_test_are_scored_each_and_averaged():
    train, test = hidden(256, 0), hidden(32, 1, crops=3)
    protocol = protocol_of(CROPS=3, EPOCHS=40)
    assert protocol.train.spatial_crops == 1
    assert protocol.score({"video": train}, {"video": test}, seed=0)[0].value > 80


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UsageError, match="tokens of 16 channels cannot be divided among TEST.ATTENTIVE.HEADS 5 heads"):
        protocol_of(HEADS=5).fit({"video": hidden(8, 0)}, seed=0)
