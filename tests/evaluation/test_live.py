"""All parts of a network are evaluated on the device on which it trains."""

from itertools import chain

import pytest
import torch
from torch import nn

from stica_pv.evaluation.live import still_copy
from stica_pv.tasks.classification.classification import Classification, ClassificationClip, Classifier
from stica_pv.transforms import ColorSettings, FixedCrop


@pytest.mark.parametrize("whole", [False, True], ids=["encoder", "classifier"])
def test_the_copy_is_on_the_device_with_its_own_buffers(whole: bool) -> None:
    clip = ClassificationClip(2, 4.0, 4, FixedCrop(), ColorSettings())
    task = Classification(clip=clip, backbone=nn.BatchNorm3d(3), pool=nn.Flatten(), dim=96, classes=2).to("meta")
    network = Classifier(task) if whole else task.encoders()["video"]
    assert "cpu" in {buffer.device.type for buffer in network.buffers()}
    still = still_copy(network, torch.device("meta"))
    assert {tensor.device.type for tensor in chain(still.parameters(), still.buffers())} == {"meta"}
    assert not still.training
    assert network.training
