"""A network with the tensors of a released GDT or STiCA checkpoint, written from the description of that layout alone.

Video: stem, four stages of basic blocks whose convolutions are 1x3x3 then 3x1x1. Audio: a ResNet of one block a stage.
Both at any width; 64 is the released one.
"""

import math

import torch
from torch import Tensor, nn

HEADS = 4


def conv_bn(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts)


def factored(inputs: int, mid: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(inputs, mid, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(),
        nn.Conv3d(mid, outputs, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


class VideoBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        mid = 27 * inputs * outputs // (9 * inputs + 3 * outputs)  # once for both convolutions
        self.conv1 = conv_bn(factored(inputs, mid, outputs, stride), nn.BatchNorm3d(outputs), nn.ReLU())
        self.conv2 = conv_bn(factored(outputs, mid, outputs, 1), nn.BatchNorm3d(outputs))
        self.downsample = None
        if stride > 1:
            self.downsample = conv_bn(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + shortcut)


class VideoBase(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        mid = round(45 * width / 64)
        self.stem = nn.Sequential(
            nn.Conv3d(3, mid, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
            nn.BatchNorm3d(mid),
            nn.ReLU(),
            nn.Conv3d(mid, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for n in range(1, 5):
            first = VideoBlock(sizes[n - 1], sizes[n], 1 if n == 1 else 2)
            more = [VideoBlock(sizes[n], sizes[n], 1) for _ in range(blocks - 1)]
            setattr(self, f"layer{n}", nn.Sequential(first, *more))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))


class AudioBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1:
            self.downsample = conv_bn(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))) + shortcut)


class AudioBase(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        sizes = [width, width, 2 * width, 4 * width, 8 * width]
        for n in range(1, 5):
            setattr(self, f"layer{n}", nn.Sequential(AudioBlock(sizes[n - 1], sizes[n], 1 if n == 1 else 2)))
        self.fc = nn.Linear(8 * width, 10)  # there, and never used

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3))


class Attention(nn.Module):
    def __init__(self, dim: int, full: bool) -> None:
        super().__init__()
        self.q_lin, self.k_lin = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_lin = nn.Linear(dim, dim) if full else nn.Identity()
        self.out_lin = nn.Linear(dim, dim) if full else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (lin(x).chunk(HEADS, -1) for lin in (self.q_lin, self.k_lin, self.v_lin))
        heads = []
        for q, k, v in zip(queries, keys, values, strict=True):
            weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
            heads.append(weights @ v)
        return self.out_lin(torch.cat(heads, -1))


class FeedForward(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.lin1(x)
        return self.lin2(0.5 * x * (1 + torch.erf(x / math.sqrt(2))))


class Layer(nn.Module):
    def __init__(self, dim: int, full: bool) -> None:
        super().__init__()
        self.mha, self.ffn = Attention(dim, full), FeedForward(dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-12), nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.mha(x))
        return self.norm2(x + self.ffn(x))


class Transformer(nn.Module):
    def __init__(self, dim: int, layers: int, full: bool, positions: bool) -> None:
        super().__init__()
        self.transformer = nn.ModuleList(Layer(dim, full) for _ in range(layers))
        self.pos_embs = nn.ParameterList([nn.Parameter(torch.randn(64, dim))] if positions else [])
        if positions:
            self.register_buffer("pos_ids", torch.arange(64))

    def forward(self, tokens: Tensor) -> Tensor:
        for embedding in self.pos_embs:
            tokens = tokens + embedding[: tokens.shape[1]]
        for layer in self.transformer:
            tokens = layer(tokens)
        return tokens[:, 0]


class Head(nn.Module):
    def __init__(self, dim: int, hidden: int, outputs: int) -> None:
        super().__init__()
        parts = [nn.Identity() for _ in range(9)]
        parts[1], parts[7] = nn.Dropout(0.3), nn.Dropout(0.3)
        parts[2], parts[4], parts[5] = nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()
        parts[8] = nn.Linear(hidden, outputs)
        self.block_forward = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_forward(x)


class Holder(nn.Module):
    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base


class StandIn(nn.Module):
    """The networks of a checkpoint; all its statistics and weights are drawn, none is trivial."""

    def __init__(
        self,
        *,
        width: int = 4,
        blocks: int = 2,
        layers: int = 2,
        full: bool = False,
        positions: bool = False,
        linear_heads: bool = False,
        hidden: int = 16,
        outputs: int = 8,
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        dim = 8 * width
        self.video_network, self.audio_network = Holder(VideoBase(width, blocks)), Holder(AudioBase(width))
        if layers:
            transformer = Transformer(dim, layers, full, positions)
            self.video_pooling = nn.Sequential(nn.Identity(), nn.Identity(), transformer)
        self.mlp_v, self.mlp_a = (
            nn.Linear(dim, outputs) if linear_heads else Head(dim, hidden, outputs) for _ in range(2)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.LayerNorm):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.2)
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
        self.eval()

    @torch.no_grad()
    def embed_video(self, video: Tensor) -> Tensor:
        """Unit rows (B, D) of normalized frames (B, 3, T, H, W)."""
        maps = self.video_network.base(video)
        if hasattr(self, "video_pooling"):
            steps = maps.shape[2]
            tokens = nn.functional.adaptive_avg_pool3d(maps, (steps, 1, 1)).flatten(2).transpose(1, 2)
            pooled = self.video_pooling(tokens)
        else:
            pooled = maps.mean((2, 3, 4))
        return nn.functional.normalize(self.mlp_v(pooled), dim=1)

    @torch.no_grad()
    def embed_audio(self, log_mel: Tensor) -> Tensor:
        """Unit rows (B, D) of spectrograms (B, 1, F, T)."""
        return nn.functional.normalize(self.mlp_a(self.audio_network.base(log_mel)), dim=1)
