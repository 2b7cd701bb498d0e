"""The trunk of any model of torchvision or pytorchvideo: without head, forward returns maps."""

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models.accelerator.mobile_cpu.efficient_x3d import EfficientX3d
from pytorchvideo.models.audio_visual_slowfast import FuseAudioToFastSlow
from pytorchvideo.models.net import MultiPathWayWithFuse, Net
from pytorchvideo.models.vision_transformers import MultiscaleVisionTransformers
from torch import nn
from torchvision.models.video.mvit import MViT
from torchvision.models.video.resnet import VideoResNet
from torchvision.models.video.s3d import S3D
from torchvision.models.video.swin_transformer import SwinTransformer3d

from stica_pv.models.slowfast_trunks import AudioVisualSlowFastTrunk, SlowFastTrunk
from stica_pv.models.staged_trunks import NetTrunk, StagedTrunk, SwinTrunk
from stica_pv.models.transformer_trunks import MViTTrunk, TorchvisionMViTTrunk


def trunk_of(model: nn.Module) -> nn.Module:
    """Returns the trunk of a library model, made of the model's own modules with their names.

    Args:
        model: A video model of torchvision or pytorchvideo, whole or without its head; or any other module, which is
            returned unchanged and must return maps.
    """
    if isinstance(model, Net):
        return _trunk_of_net(model)
    if isinstance(model, MultiscaleVisionTransformers):
        return MViTTrunk(model)
    if isinstance(model, MViT):
        return TorchvisionMViTTrunk(model)
    if isinstance(model, SwinTransformer3d):
        return SwinTrunk(model)
    for kind, names in STAGED.items():
        if isinstance(model, kind):
            return StagedTrunk(model, names)
    return model


STAGED: dict[type[nn.Module], tuple[str, ...]] = {
    VideoResNet: ("stem", "layer1", "layer2", "layer3", "layer4"),
    S3D: ("features",),
    EfficientX3d: ("s1", "s2", "s3", "s4", "s5"),
}


def _trunk_of_net(net: Net) -> nn.Module:
    first = net.blocks[0]
    if not isinstance(first, MultiPathWayWithFuse):
        return NetTrunk(net)
    if isinstance(first.multipathway_fusion, FuseAudioToFastSlow):
        return AudioVisualSlowFastTrunk(net)
    return SlowFastTrunk(net)
