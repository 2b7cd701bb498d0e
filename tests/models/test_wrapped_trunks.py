"""timm's image models and transformers' video models as trunks: maps, names, counts, one step of STiCA."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stica_pv.engine.build_task import named_modules
from stica_pv.errors import UsageError
from stica_pv.models import FeatureCrop, Trunk, create_backbone, measure_map, plan_crops
from stica_pv.models.activation_checkpoint import checkpoint_stages
from stica_pv.models.backbones import accepted_settings
from stica_pv.models.timm_trunks import create_timm_model
from stica_pv.models.transformers_trunks import create_transformers_model

timm = pytest.importorskip("timm", reason="the extra 'trunks' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'trunks' is not installed")

TINY_VIT = {"embed_dim": 16, "depth": 1, "num_heads": 2}
TINY_STAGES = {"depths": (1, 1, 1, 1), "dims": (4, 4, 8, 16)}
TINY_VIDEO = {"num_hidden_layers": 1, "hidden_size": 12, "num_attention_heads": 2, "intermediate_size": 24}
TINY_VJEPA2 = {key: value for key, value in TINY_VIDEO.items() if key != "intermediate_size"} | {"hidden_size": 24}

# Name, settings, map of clips of 4 frames of 64 px, clip size it accepts: small models of each layout of features.
TRUNKS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "timm:vit_small_patch16_224": (TINY_VIT | {"size": 64}, (16, 4, 4, 4)),
    "timm:vit_small_patch16_dinov3": (TINY_VIT | {"size": 64}, (16, 4, 4, 4)),  # five tokens before the patches
    "timm:eva02_tiny_patch14_224": (TINY_VIT | {"size": 64}, (16, 4, 4, 4)),
    "timm:convnext_tiny": (TINY_STAGES, (16, 4, 2, 2)),
    "timm:swin_tiny_patch4_window7_224": (
        {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "size": 64},
        (16, 4, 8, 8),
    ),
    "hf:videomae-base": (TINY_VIDEO | {"frames": 4, "size": 64}, (12, 2, 4, 4)),
    "hf:vivit-b-16x2": (TINY_VIDEO | {"frames": 4, "size": 64}, (12, 2, 4, 4)),
    "hf:timesformer-base": (TINY_VIDEO | {"frames": 4, "size": 64}, (12, 4, 4, 4)),
    "hf:vjepa2-vitl": (TINY_VJEPA2 | {"frames": 4, "size": 64}, (24, 2, 4, 4)),
}


def built(name: str) -> Trunk:
    torch.manual_seed(0)
    trunk = create_backbone(name, **TRUNKS[name][0])
    assert isinstance(trunk, Trunk)
    return trunk


@pytest.mark.parametrize("name", TRUNKS)
def test_maps_gradients_and_recomputed_blocks(name: str) -> None:
    size = TRUNKS[name][1]
    trunk = built(name)
    assert measure_map(trunk, frames=4, size=64) == size
    video = torch.randn(1, 3, 4, 64, 64)
    torch.manual_seed(1)
    maps = trunk(video)
    assert maps.shape == (1, *size)
    maps.pow(3).sum().backward()
    plain = {key: p.grad for key, p in trunk.named_parameters() if p.requires_grad}
    assert not [key for key, grad in plain.items() if grad is None]
    trunk.zero_grad()
    torch.manual_seed(1)
    checkpoint_stages(trunk)(video).pow(3).sum().backward()
    for key, p in trunk.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(
                p.grad, plain[key], rtol=1e-3, atol=1e-4 * max(1.0, float(plain[key].abs().max()))
            )


@pytest.mark.parametrize("name", TRUNKS)
def test_tokens_are_where_their_patches_were(name: str) -> None:
    trunk = built(name).eval()
    still, moved = torch.zeros(1, 3, 4, 64, 64), torch.zeros(1, 3, 4, 64, 64)
    moved[..., 2:, :16, 48:] = 1  # late, above, right
    with torch.no_grad():
        change = (trunk(moved) - trunk(still)).norm(dim=1)[0]
    steps, height, width = change.shape
    found = change.flatten().argmax().item()
    assert found // (height * width) >= steps // 2
    assert found // width % height < max(1, height // 4)
    assert found % width >= width - max(1, width // 4)


def test_crops_of_a_token_map_equal_slicing() -> None:
    trunk = built("timm:vit_small_patch16_224").eval()
    with torch.no_grad():
        maps = trunk(torch.randn(2, 3, 3, 64, 64))
    boxes = torch.tensor([[[0, 3], [1, 4], [0, 2]], [[1, 3], [0, 4], [2, 3]]])
    tokens = FeatureCrop()(maps, plan_crops(boxes, (3, 4, 4), tokens=1))
    for number, ((t0, t1), (y0, y1), (x0, x1)) in enumerate(boxes.tolist()):
        expected = maps[:, :, t0:t1, y0:y1, x0:x1].mean(dim=(2, 3, 4))
        torch.testing.assert_close(tokens[number, :, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TRUNKS)
def test_names_and_counts_of_weights_are_the_librarys(name: str, tmp_path: Path) -> None:
    library, _, own = name.partition(":")
    torch.manual_seed(3)
    made = (create_timm_model if library == "timm" else create_transformers_model)(own, **TRUNKS[name][0])
    model = made if isinstance(made, nn.Module) else made[0]
    trunk = built(name)
    assert list(trunk.state_dict()) == list(model.state_dict())
    assert sum(p.numel() for p in trunk.parameters()) == sum(p.numel() for p in model.parameters())
    head = {"head.fc.weight": torch.zeros(3, 16)} if library == "timm" else {"classifier.weight": torch.zeros(3, 12)}
    family = "" if library == "timm" else f"{model.config.model_type}."  # files of whole models have it
    torch.save({family + key: value for key, value in model.state_dict().items()} | head, tmp_path / "weights.pth")
    loaded = create_backbone(name, pretrained=tmp_path / "weights.pth", **TRUNKS[name][0])
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=0, atol=0)  # exact: copied


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("timm:vit_small_patch16_224", 21_665_664),
        ("timm:convnext_tiny", 27_820_128),
        ("hf:videomae-base", 86_227_200),
    ],
)
def test_published_sizes_have_the_parameters_of_the_library(name: str, count: int) -> None:
    with torch.device("meta"):
        trunk = create_backbone(name)
        if name.startswith("timm"):
            own = timm.create_model(name.partition(":")[2], num_classes=0)
        else:
            own = transformers.VideoMAEModel(transformers.VideoMAEConfig(use_mean_pooling=False))
    assert sum(p.numel() for p in trunk.parameters()) == sum(p.numel() for p in own.parameters()) == count


def test_parameters_that_the_map_does_not_need_are_frozen() -> None:
    frozen = [name for name, p in built("timm:convnext_tiny").named_parameters() if not p.requires_grad]
    assert frozen == ["model.head.norm.weight", "model.head.norm.bias"]


def test_a_folder_with_a_configuration_is_built_and_its_weights_load(tmp_path: Path) -> None:
    settings = TRUNKS["hf:vivit-b-16x2"][0]
    torch.manual_seed(5)
    model, _ = create_transformers_model("vivit-b-16x2", **settings)
    model.save_pretrained(tmp_path)
    clip = {"frames": 4, "size": 64}
    assert measure_map(create_backbone(f"hf:{tmp_path}", **clip), frames=4, size=64) == (12, 2, 4, 4)
    trunk = create_backbone(f"hf:{tmp_path}", pretrained=True, **clip)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(trunk.state_dict()[key], value, rtol=0, atol=0)  # exact: copied
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), encoding="utf-8")
    with pytest.raises(UsageError, match="expected a configuration of videomae, .*, got model_type 'bert'"):
        create_backbone(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:convnext_tinny", r"timm has no image model called 'convnext_tinny' \(did you mean convnext_tiny\?\)"),
        ("timm:resnet50.nobody", r"timm has no weights 'resnet50.nobody'.*weights of resnet50: resnet50.a1_in1k"),
        (
            "hf:videomae-bas",
            r"hf:videomae-bas: there is no such video model \(did you mean videomae-base\?\)",
        ),
    ],
)
def test_a_wrong_name_is_reported(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_backbone(name)


def test_clips_of_another_size_are_refused_where_positions_are_fixed() -> None:
    with pytest.raises(UsageError, match="built for frames of 64 px, got 4 frames of 32 x 32 px: build it with"):
        built("timm:vit_small_patch16_224")(torch.zeros(1, 3, 4, 32, 32))
    with pytest.raises(UsageError, match="built for 4 frames of 64 px, got 2 frames of 64 x 64 px"):
        built("hf:videomae-base")(torch.zeros(1, 3, 2, 64, 64))
    assert built("timm:convnext_tiny")(torch.zeros(1, 3, 1, 32, 64)).shape == (1, 16, 1, 1, 2)


def test_settings_of_a_clip_are_accepted_and_names_are_no_code() -> None:
    assert "size" in accepted_settings("timm:convnext_tiny")
    assert {"frames", "size"} <= accepted_settings("hf:videomae-base")
    assert named_modules([("MODEL.ARCH", "timm:convnext_tiny"), ("MODEL.ARCH", "hf:videomae-base")]) == set()


def test_without_the_libraries_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name in ("timm", "transformers"):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    for name, library in (("timm:convnext_tiny", "timm"), ("hf:videomae-base", "transformers")):
        with pytest.raises(UsageError, match=rf"needs {library}: pip install 'stica_pv\[trunks\]'"):
            create_backbone(name)
