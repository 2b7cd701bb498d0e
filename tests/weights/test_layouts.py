"""Tables rename; the foreign names are written out along the modules of small networks (`foreign.py`)."""

from collections.abc import Callable

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

import pytest
import torch
from foreign import State, slowfast_mvit, slowfast_slow, slowfast_two_pathways, slowfast_x3d
from pytorchvideo.models.resnet import create_resnet
from pytorchvideo.models.slowfast import create_slowfast
from pytorchvideo.models.vision_transformers import create_multiscale_vision_transformers
from pytorchvideo.models.x3d import create_x3d
from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.resnet import Bottleneck, ResNet

from stica_pv.errors import UsageError
from stica_pv.weights import LAYOUTS, best_layout, layout_named, match


def small_slow() -> nn.Module:
    return create_resnet(stem_dim_out=4, model_num_class=3)


def small_c2d() -> nn.Module:
    return create_resnet(stem_dim_out=4, model_num_class=3, stage1_pool=nn.MaxPool3d)


def small_slowfast() -> nn.Module:
    return create_slowfast(
        stem_dim_outs=(8, 1),
        model_num_class=3,
        slowfast_conv_channel_fusion_ratio=2,
        slowfast_channel_reduction_ratio=(8,),
    )


def small_x3d() -> nn.Module:
    return create_x3d(input_clip_length=4, input_crop_size=32, stem_dim_in=4, head_dim_out=16, model_num_class=3)


def small_mvit() -> nn.Module:
    return create_multiscale_vision_transformers(
        spatial_size=32,
        temporal_size=4,
        depth=2,
        num_heads=1,
        patch_embed_dim=8,
        embed_dim_mul=[[1, 2.0]],
        atten_head_mul=[[1, 2.0]],
        pool_q_stride_size=[[1, 1, 2, 2]],
        pool_kv_stride_adaptive=[1, 2, 2],
        pool_kvq_kernel=[3, 3, 3],
        head_num_classes=3,
    )


FAMILIES: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], State]]] = {
    "slowfast_slow": (small_slow, slowfast_slow),
    "slowfast_c2d": (small_c2d, slowfast_slow),
    "slowfast_slowfast": (small_slowfast, slowfast_two_pathways),
    "slowfast_x3d": (small_x3d, slowfast_x3d),
    "slowfast_mvit": (small_mvit, slowfast_mvit),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_tensor_of_a_slowfast_file_finds_its_place_and_the_layout_is_recognized(name: str) -> None:
    build, foreign = FAMILIES[name]
    net = build()
    own = net.state_dict()
    found = best_layout(own, foreign(net))
    assert found.layout.name == name
    assert found.fits
    assert not found.unexpected
    assert not found.unused
    # exact: copied, not calculated
    assert all(torch.equal(found.tensors[key], own[key]) for key in own)


@pytest.mark.parametrize("name", FAMILIES)
def test_classifiers_are_not_missed_by_a_trunk(name: str) -> None:
    build, foreign = FAMILIES[name]
    net = build()
    trunk = {key: tensor for key, tensor in net.state_dict().items() if ".proj." not in key or "attn" in key}
    trunk = {key: tensor for key, tensor in trunk.items() if not key.startswith(("blocks.5.pool", "head."))}
    trunk |= {key: tensor for key, tensor in net.state_dict().items() if name == "slowfast_mvit" and "blocks" in key}
    found = match(trunk, foreign(net), layout_named(name))
    assert found.fits
    assert not found.unexpected
    assert all(key.startswith("head.") for key in found.unused)
    assert found.unused


def test_files_of_pytorchvideo_with_one_layer_for_queries_keys_and_values_are_split() -> None:
    net = small_mvit()
    old = {key: tensor for key, tensor in net.state_dict().items() if not any(f"attn.{part}." in key for part in "qkv")}
    old |= {key: tensor for key, tensor in slowfast_mvit(net).items() if "attn.qkv" in key}
    found = best_layout(net.state_dict(), old)
    assert found.layout.name == "pytorchvideo"
    assert found.fits
    # exact: copied, not calculated
    assert torch.equal(found.tensors["blocks.1.attn.k.weight"], net.state_dict()["blocks.1.attn.k.weight"])


def test_plain_files_are_distinguished_by_their_names() -> None:
    names = small_slow().state_dict()
    assert best_layout(names, names).layout.name == "pytorchvideo"
    torchvision = {"stem.0.weight": torch.ones(1), "layer1.0.conv1.0.0.weight": torch.ones(1)}
    assert best_layout(torchvision, torchvision).layout.name == "torchvision"


@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18", "s3d", "swin3d_t", "mvit_v1_b", "mvit_v2_s"])
def test_networks_of_torchvision_are_normalised_as_there(name: str) -> None:
    with torch.device("cpu" if "mvit" in name else "meta"):  # MViT reads numbers while it is built
        names = get_model(name).state_dict()
    theirs = get_model_weights(name).DEFAULT.transforms()
    assert best_layout(names, names).layout.mean_std == (tuple(theirs.mean), tuple(theirs.std))


def test_a_frame_network_is_the_inflated_one_on_a_clip_without_motion() -> None:
    torch.manual_seed(0)
    flat = ResNet(Bottleneck, [3, 4, 6, 3], num_classes=3).eval()
    for module in flat.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    one = (1, 1, 1)
    net = create_resnet(stem_conv_kernel_size=(1, 7, 7), stage_conv_a_kernel_size=(one,) * 4, head=None).eval()
    found = best_layout(net.state_dict(), flat.state_dict())
    assert found.layout.name == "resnet2d"
    assert found.fits
    assert set(found.unused) == {"fc.weight", "fc.bias"}
    net.load_state_dict(found.tensors)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        x = flat.maxpool(flat.relu(flat.bn1(flat.conv1(image))))
        expected = flat.layer4(flat.layer3(flat.layer2(flat.layer1(x))))
        got = net(image.unsqueeze(2).expand(-1, -1, 2, -1, -1))
    for frame in range(2):
        assert torch.allclose(got[:, :, frame], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_an_unknown_layout_ends_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"--layout: got 'torchvison' \(did you mean torchvision\?\)"):
        layout_named("torchvison")
    assert list(LAYOUTS)[-1] == "gdt"
