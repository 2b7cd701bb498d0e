from pathlib import Path

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
from torchvision.models import resnet18
from torchvision.models.video import r2plus1d_18, r3d_18

from stica_pv.errors import UsageError
from stica_pv.models import create_r2plus1d_10, create_r2plus1d_18
from stica_pv.weights import load_trunk


@pytest.fixture(scope="module")
def torchvision_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "r2plus1d_18.pth"
    torch.save(r2plus1d_18().state_dict(), path)
    return path


def test_torchvisions_weights_give_torchvisions_map(torchvision_file: Path) -> None:
    trunk = create_r2plus1d_18().eval()
    found = load_trunk(trunk, torchvision_file)
    assert found.layout.name == "torchvision"
    assert set(found.unused) == {"fc.weight", "fc.bias"}
    theirs = r2plus1d_18().eval()
    theirs.load_state_dict(torch.load(torchvision_file, weights_only=True))
    theirs.avgpool, theirs.fc = torch.nn.Identity(), torch.nn.Identity()
    video = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(trunk(video).flatten(1), theirs(video))  # exact: the same code with the same shapes, twice


def test_a_network_of_frames_becomes_one_of_clips(tmp_path: Path) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    net = r3d_18()
    net.fc = torch.nn.Identity()
    assert load_trunk(net, tmp_path / "resnet18.pth").layout.name == "resnet2d_r3d"
    flat = torch.load(tmp_path / "resnet18.pth", weights_only=True)["layer2.0.conv1.weight"]
    assert torch.allclose(net.layer2[0].conv1[0].weight.sum(2), flat, atol=1e-6)


@pytest.mark.parametrize(("blocks", "reason"), [(1, "unexpected"), (2, "missing")])
def test_a_deeper_or_shallower_network_is_refused_and_nothing_is_loaded(
    tmp_path: Path, blocks: int, reason: str
) -> None:
    nets = {1: create_r2plus1d_10(width=4), 2: create_r2plus1d_18(width=4)}
    trunk, other = nets[blocks], nets[3 - blocks]
    torch.save(other.state_dict(), tmp_path / "other.pth")
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    with pytest.raises(UsageError, match=f"does not fit this trunk; .*; {reason}: layer1.1.conv1"):
        load_trunk(trunk, tmp_path / "other.pth")
    # exact: left alone, not calculated
    assert all(torch.equal(before[name], tensor) for name, tensor in trunk.state_dict().items())


def test_a_layout_that_was_named_is_not_guessed(torchvision_file: Path) -> None:
    with pytest.raises(UsageError, match="layout slowfast_slow"):
        load_trunk(create_r2plus1d_18(), torchvision_file, layout="slowfast_slow")
