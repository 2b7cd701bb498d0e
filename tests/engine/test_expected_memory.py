import gc

import torch
from torch import nn

from stica_pv.engine.memory import KeptTensors, bytes_of, optimizer_bytes


def test_what_the_backward_pass_needs_is_counted_once_without_parameters():
    layer = nn.Linear(8, 8, bias=False)
    x = torch.randn(4, 8, requires_grad=True)
    kept = KeptTensors(layer.parameters())
    with kept.counted():
        y = layer(x)  # keeps x, and the weight, which is a parameter and not counted
        z = torch.relu(y)  # keeps its result
        loss = (z * z).sum()  # keeps z twice, which is there already
    assert kept.peak == 4 * (4 * 8) + 4 * (4 * 8)
    loss.backward()


def test_pieces_that_run_one_after_the_other_share_their_memory():
    layer = nn.Linear(8, 8, bias=False)
    kept = KeptTensors(layer.parameters())
    with kept.counted():
        for _ in range(3):
            layer(torch.randn(4, 8)).sum().backward()
            gc.collect()
    assert kept.peak == 4 * 4 * 8


def test_gradients_are_the_same_with_and_without_counting():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Linear(5, 1))
    x = torch.randn(7, 6)
    network(x).sum().backward()
    before = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    with KeptTensors(network.parameters()).counted():
        network(x).sum().backward()
    # exact: left alone, not calculated
    assert all(torch.equal(p.grad, old) for p, old in zip(network.parameters(), before, strict=True))


def test_an_optimiser_holds_its_moments_after_a_step():
    layer = nn.Linear(8, 8, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters())
    assert optimizer_bytes(optimizer) == 0
    layer(torch.randn(2, 8)).sum().backward()
    optimizer.step()
    assert optimizer_bytes(optimizer) == 2 * 4 * 64 + 4  # and the count of steps
    assert bytes_of([layer.weight, None]) == 4 * 64
