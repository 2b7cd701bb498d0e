"""Names that other programs give to the tensors of a network, written out part by part along its modules."""

from collections.abc import Iterable

from torch import Tensor, nn

State = dict[str, Tensor]


def add(state: State, name: str, module: nn.Module) -> None:
    """Adds the tensors of one layer under a foreign name."""
    for key, tensor in module.state_dict().items():
        state[f"{name}.{key}"] = tensor


def slowfast_stage(state: State, prefix: str, res_blocks: Iterable[nn.Module]) -> None:
    """SlowFast's names of a stage; `prefix` is for example ``s2.pathway0``."""
    for i, block in enumerate(res_blocks):
        own = f"{prefix}_res{i}"
        if block.branch1_conv is not None:
            add(state, f"{own}.branch1", block.branch1_conv)
        if block.branch1_norm is not None:
            add(state, f"{own}.branch1_bn", block.branch1_norm)
        for letter in "abc":
            add(state, f"{own}.branch2.{letter}", getattr(block.branch2, f"conv_{letter}"))
            norm = getattr(block.branch2, f"norm_{letter}")
            if isinstance(norm, nn.Sequential):  # X3D: normalization, then squeeze and excitation or nothing
                squeeze = norm[1]
                norm = norm[0]
                if hasattr(squeeze, "block"):
                    add(state, f"{own}.branch2.se.fc1", squeeze.block[0])
                    add(state, f"{own}.branch2.se.fc2", squeeze.block[2])
            add(state, f"{own}.branch2.{letter}_bn", norm)


def slowfast_slow(net: nn.Module) -> State:
    """Slow, C2D, I3D."""
    state: State = {}
    add(state, "s1.pathway0_stem.conv", net.blocks[0].conv)
    add(state, "s1.pathway0_stem.bn", net.blocks[0].norm)
    stages = [block for block in net.blocks if hasattr(block, "res_blocks")]
    for number, stage in enumerate(stages, 2):
        slowfast_stage(state, f"s{number}.pathway0", stage.res_blocks)
    add(state, "head.projection", net.blocks[-1].proj)
    return state


def slowfast_two_pathways(net: nn.Module) -> State:
    """SlowFast."""
    state: State = {}
    for number, block in enumerate(net.blocks[:5], 1):
        for pathway, part in enumerate(block.multipathway_blocks):
            if number == 1:
                add(state, f"s1.pathway{pathway}_stem.conv", part.conv)
                add(state, f"s1.pathway{pathway}_stem.bn", part.norm)
            else:
                slowfast_stage(state, f"s{number}.pathway{pathway}", part.res_blocks)
        if number < 5:
            add(state, f"s{number}_fuse.conv_f2s", block.multipathway_fusion.conv_fast_to_slow)
            add(state, f"s{number}_fuse.bn", block.multipathway_fusion.norm)
    add(state, "head.projection", net.blocks[-1].proj)
    return state


def slowfast_x3d(net: nn.Module) -> State:
    """X3D; the convolution in space is the one of three input channels."""
    state: State = {}
    convs = list(net.blocks[0].conv.children())
    in_space, in_time = sorted(convs, key=lambda conv: conv.weight.shape[2])
    assert in_space.weight.shape[1:3] == (3, 1)
    add(state, "s1.pathway0_stem.conv_xy", in_space)
    add(state, "s1.pathway0_stem.conv", in_time)
    add(state, "s1.pathway0_stem.bn", net.blocks[0].norm)
    for number, stage in enumerate(net.blocks[1:5], 2):
        slowfast_stage(state, f"s{number}.pathway0", stage.res_blocks)
    head = net.blocks[5]
    add(state, "head.conv_5", head.pool.pre_conv)
    add(state, "head.conv_5_bn", head.pool.pre_norm)
    add(state, "head.lin_5", head.pool.post_conv)
    add(state, "head.projection", head.proj)
    return state


def slowfast_mvit(net: nn.Module) -> State:
    """MViT, version 1, whose queries, keys and values are one linear layer."""
    state: State = {}
    add(state, "patch_embed.proj", net.patch_embed.patch_model)
    for name, tensor in net.cls_positional_encoding.state_dict().items():
        state[name] = tensor
    for i, block in enumerate(net.blocks):
        own = {name: tensor for name, tensor in block.state_dict().items() if not name.startswith("attn.")}
        state |= {f"blocks.{i}.{name}": tensor for name, tensor in own.items()}
        attention = block.attn.state_dict()
        for kind in ("weight", "bias"):
            fused = [attention.pop(f"{part}.{kind}") for part in "qkv"]
            state[f"blocks.{i}.attn.qkv.{kind}"] = _joined(fused)
        state |= {f"blocks.{i}.attn.{name}": tensor for name, tensor in attention.items()}
    add(state, "norm", net.norm_embed)
    add(state, "head.projection", net.head.proj)
    return state


def _joined(parts: list[Tensor]) -> Tensor:
    joined = parts[0].new_empty(sum(len(part) for part in parts), *parts[0].shape[1:])
    position = 0
    for part in parts:
        joined[position : position + len(part)] = part
        position += len(part)
    return joined
