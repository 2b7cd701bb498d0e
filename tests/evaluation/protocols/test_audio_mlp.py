import math
from dataclasses import replace

import torch
from planted_features import CLASSES, mixed_labels, planted, several

from stica_pv.evaluation.protocols.audio_mlp import AudioMlp, MlpRecipe, several_labels
from stica_pv.evaluation.requests import FeatureRequest

WINDOWS = FeatureRequest(modality="audio", average=False)
MLP = AudioMlp(WINDOWS, WINDOWS, MlpRecipe(hidden=32, lr=3e-2, batch_size=32, epochs=30), torch.device("cpu"))


def test_the_name_states_the_recipe():
    assert MLP.name == (
        "audio_mlp (pooled audio, 10 fixed views, standardized, 32 hidden units, lr 0.03, batch 32, 30 epochs, "
        "weight decay 0)"
    )


def test_several_labels_an_item_are_learned():
    train = several(planted(96, 0, views=2))
    found = {m.name: m.value for m in MLP.score({"audio": train}, {"audio": train}, seed=0)}
    assert found["mAP"] > 99
    assert found["AUC"] > 99
    assert found["d_prime"] > 3


def test_one_label_an_item_will_do_and_perfect_features_give_full_marks():
    found = {m.name: m.value for m in MLP.score({"audio": planted(96, 0)}, {"audio": planted(40, 1)}, seed=0)}
    assert found == {"mAP": 100.0, "AUC": 100.0, "d_prime": math.inf}


def test_labels_that_mean_nothing_give_chance():
    train, test = mixed_labels(planted(400, 0, spread=1.0, siblings=1)), planted(400, 1, spread=1.0)
    found = {m.name: m.value for m in MLP.score({"audio": train}, {"audio": test}, seed=0)}
    assert 8 < found["mAP"] < 20  # chance is 12.5
    assert 42 < found["AUC"] < 58
    assert abs(found["d_prime"]) < 0.3


def test_probabilities_are_averaged_over_windows():
    train, test = planted(96, 0, views=2), planted(16, 1, views=3)
    network = MLP.fit(train, seed=0)
    single = torch.stack([MLP.probabilities(network, test.features[:, i : i + 1]) for i in range(3)])
    assert torch.allclose(MLP.probabilities(network, test.features), single.mean(dim=0), atol=1e-6)


def test_features_of_any_scale_and_place_are_learned_alike():
    train = planted(96, 0)
    moved = replace(train, features=train.features * 1000 - 400)
    first, second = (MLP.probabilities(MLP.fit(part, seed=0), part.features) for part in (train, moved))
    assert torch.allclose(first, second, atol=1e-2)


def test_the_seed_decides_all_and_the_state_of_torch_is_left_as_it_was():
    found = []
    for state, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(state)
        expected = torch.rand(1)
        torch.manual_seed(state)
        found.append(MLP.fit(planted(40, 0, spread=0.5), seed=seed).logits.weight)
        assert torch.equal(torch.rand(1), expected)  # exact: the same generators draw the same
    assert torch.equal(found[0], found[1])  # exact: the same code with the same shapes, twice
    assert not torch.equal(found[0], found[2])


def test_labels_become_a_row_of_bools():
    labels = torch.tensor([2, 0])
    assert several_labels(labels, classes=CLASSES).sum(dim=1).tolist() == [1, 1]
    assert several_labels(labels).tolist() == [[False, False, True], [True, False, False]]
    assert several_labels(several_labels(labels)) is not None
