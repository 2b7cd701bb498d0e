import pytest
import torch
import torch.nn.functional as F

from stica_pv.models import Predictor, Projector


def test_projector_normalises_each_view_by_its_own_batch() -> None:
    torch.manual_seed(0)
    projector = Projector([6, 6, 4], hidden_dim=10, out_dim=3).double()
    views = [torch.randn(5, dim, dtype=torch.float64) for dim in (6, 4, 6)]
    z = projector(views)
    assert z.shape == (3, 5, 3)
    for view, row in zip(views, z, strict=True):
        first = projector.first[str(view.shape[1])]
        x = F.batch_norm(first(view), None, None, training=True)
        expected = F.batch_norm(projector.rest[2](F.relu(x)), None, None, training=True)
        assert torch.allclose(row, expected, atol=1e-9)


def test_views_of_one_length_share_all_layers_and_others_all_but_the_first() -> None:
    assert list(Projector([6, 4, 6]).first) == ["6", "4"]
    assert (
        sum(p.numel() for p in Projector([2048]).parameters()) == 2048 * 4096 + 4096 + 2 * 4096 + 4096 * 128 + 3 * 128
    )


def test_predictor_has_no_batch_norm_at_the_end() -> None:
    torch.manual_seed(0)
    predictor = Predictor(3, hidden_dim=8).double()
    z = torch.randn(2, 6, 3, dtype=torch.float64)
    for rows, expected in zip(z, predictor(z), strict=True):
        hidden = F.relu(F.batch_norm(predictor[0](rows), None, None, training=True))
        assert torch.allclose(predictor[3](hidden), expected, atol=1e-9)
    assert sum(p.numel() for p in Predictor().parameters()) == 128 * 4096 + 3 * 4096 + 4096 * 128 + 128


def test_a_single_group_as_a_tensor_is_projected_too() -> None:
    projector = Projector([6], hidden_dim=4, out_dim=3).eval()
    assert projector(torch.randn(1, 1, 6)).shape == (1, 1, 3)


def test_biases_begin_at_zero() -> None:
    layers = [Projector([6]).first["6"], Predictor()[0], Predictor()[3]]
    assert all(not layer.bias.any() for layer in layers)
    assert layers[1].weight.abs().max().item() == pytest.approx(2 * 128**-0.5, rel=0.05)
