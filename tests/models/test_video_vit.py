"""The plain transformers: shapes, sizes of the literature, gradients, and tokens that are dropped."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from stica_pv.errors import UsageError
from stica_pv.models import AudioTransformer, VideoTransformer, create_backbone, measure_map
from stica_pv.models.activation_checkpoint import checkpoint_stages
from stica_pv.models.transformer_blocks import sine_positions
from stica_pv.registry import AUDIO_ENCODERS

CPU = torch.device("cpu")


def small(depth: int = 2) -> VideoTransformer:
    torch.manual_seed(0)
    return VideoTransformer(heads=2, depth=depth, width=8)


def test_maps_of_any_clip_size_for_one_clip_and_odd_lengths() -> None:
    trunk = small().eval()
    with torch.no_grad():
        for frames, height, width in ((1, 16, 32), (4, 32, 32), (5, 48, 16)):
            assert trunk(torch.randn(1, 3, frames, height, width)).shape == (
                *(1, 16, -(-frames // 2)),
                *(height // 16, width // 16),
            )
        odd = torch.randn(2, 3, 3, 32, 32)
        even = torch.cat([odd, odd[:, :, -1:]], dim=2)
        torch.testing.assert_close(trunk(odd), trunk(even))
    with pytest.raises(UsageError, match="patches of 16 px, got 24 x 32 px"):
        trunk(torch.randn(1, 3, 4, 24, 32))
    assert (trunk.strides, trunk.out_channels) == ((2, 16, 16), 16)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vit_s_16", 21.9), ("vit_b_16", 86.2), ("vit_l_16", 303.9), ("ast_s", 21.4), ("ast_b", 85.3)],
)
def test_sizes_are_those_of_the_literature(name: str, millions: float) -> None:
    with torch.device("meta"):
        net = create_backbone(name) if name.startswith("vit") else AUDIO_ENCODERS.get(name)()
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions


def test_gradients_reach_every_parameter_with_dropped_tokens_and_recomputed_blocks_too() -> None:
    video, kept = torch.randn(2, 3, 4, 32, 32), torch.tensor([[0, 3], [1, 2]])
    plain = small()
    recomputing = checkpoint_stages(copy.deepcopy(plain))
    for net in (plain, recomputing):
        net(video, kept).pow(3).sum().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputing.parameters(), strict=True):
        assert a.grad is not None, name
        assert a.grad.any(), name
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_all_positions_kept_is_the_plain_map_and_dropped_ones_are_zero_and_without_effect() -> None:
    trunk = small().double().eval()
    video = torch.randn(2, 3, 4, 32, 48, dtype=torch.float64)
    kept = torch.tensor([[0, 4], [2, 3]])
    with torch.no_grad():
        torch.testing.assert_close(trunk(video, torch.arange(6).expand(2, -1)), trunk(video), rtol=1e-10, atol=1e-10)
        found = trunk(video, kept)
        changed = video.clone()
        changed[0, :, :, :16, 16:32] += 1  # position 1, which the first clip drops
        torch.testing.assert_close(trunk(changed, kept), found, rtol=1e-10, atol=1e-10)
    computed = found.abs().sum(1).flatten(2) > 0  # (B, T, H·W)
    for clip, chosen in enumerate(kept.tolist()):
        assert [computed[clip, step].nonzero().flatten().tolist() for step in range(2)] == [chosen, chosen]


def test_patch_tokens_are_where_their_patches_were() -> None:
    trunk = small(depth=1).eval()
    still, moved = torch.zeros(1, 3, 4, 32, 48), torch.zeros(1, 3, 4, 32, 48)
    moved[..., 2:, :16, 32:] = 1  # late, above, right
    with torch.no_grad():
        change = (trunk(moved) - trunk(still)).norm(dim=1)[0]
    assert change.argmax() == 8  # (1, 0, 2) of (2, 2, 3)


def test_positions_differ_in_every_cell_and_do_not_depend_on_the_size_of_the_grid() -> None:
    table = sine_positions((3, 4, 5), 50, CPU)
    assert table.shape == (3, 4, 5, 50)
    assert torch.cdist(table.flatten(0, 2), table.flatten(0, 2)).add(torch.eye(60)).min() > 0.1
    torch.testing.assert_close(sine_positions((2, 2, 2), 50, CPU), table[:2, :2, :2])
    assert not table[..., 48:].any()


def test_an_audio_transformer_averages_its_map_and_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    net = AudioTransformer(heads=2, depth=2, width=8)
    spectrogram = torch.randn(2, 1, 40, 50)
    torch.testing.assert_close(net(spectrogram), net.map(spectrogram).mean(dim=(2, 3)))
    assert net.map(spectrogram).shape == (2, 16, 2, 3)
    net(spectrogram).pow(3).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    with pytest.raises(UsageError, match="patches of 16 x 16, got 40 mel bins x 15 steps: use longer clips"):
        net(spectrogram[..., :15])


def test_weights_load_from_a_file_of_the_same_names(tmp_path) -> None:
    torch.manual_seed(0)
    first = create_backbone("vit_s_16", width=4, depth=1)
    torch.save(first.state_dict(), tmp_path / "vit.pyth")
    second = create_backbone("vit_s_16", width=4, depth=1, pretrained=tmp_path / "vit.pyth")
    for name, value in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0)  # exact: copied
    assert measure_map(second, frames=4, size=32) == (24, 2, 2, 2)


def test_a_block_computes_what_timms_block_computes() -> None:
    timm = pytest.importorskip("timm.models.vision_transformer", reason="the extra 'trunks' is not installed")
    torch.manual_seed(0)
    ours = small(depth=1).blocks[0]
    theirs = timm.Block(16, 2, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 16)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
