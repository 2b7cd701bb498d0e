import pytest
import torch
import torch.nn.functional as F

from stica_pv.errors import UsageError
from stica_pv.weights import Layout, inflate, match

PLAIN = Layout("plain", "names as they are", unused=(r"fc\.",))


def test_each_tensor_is_counted_once_and_in_its_place() -> None:
    own = {"a": torch.zeros(2), "b": torch.zeros(2, 2), "c": torch.zeros(1), "n.num_batches_tracked": torch.tensor(0)}
    came = {"a": torch.ones(2), "b": torch.ones(3, 2), "x": torch.ones(4), "fc.weight": torch.ones(5)}
    found = match(own, came, PLAIN)
    # exact: copied, not calculated
    assert torch.equal(found.tensors["a"], torch.ones(2))
    assert found.missing == {"c": (1,)}
    assert found.misshapen == {"b": ((3, 2), (2, 2))}
    assert found.unexpected == {"x": (4,)}
    assert found.unused == {"fc.weight": (5,)}
    assert not found.fits
    assert found.cause().endswith("missing: c (1,); other shape: b (3, 2), expected (2, 2)")
    report = found.report()
    assert "1 matched, 1 missing, 1 of another shape, 1 unexpected, 1 not used" in report
    for line in ("missing: c (1,)", "other shape: b (3, 2), expected (2, 2)", "unexpected: x (4,)"):
        assert line in report


def test_a_classifier_is_used_where_there_is_one() -> None:
    assert match({"fc.weight": torch.zeros(5)}, {"fc.weight": torch.ones(5)}, PLAIN).tensors


def test_two_tensors_for_one_name_are_refused() -> None:
    layout = Layout("both", "", rules=((r"^[ab]$", "c"),))
    with pytest.raises(UsageError, match="two tensors of the file become c, the second is b"):
        match({"c": torch.zeros(1)}, {"a": torch.ones(1), "b": torch.ones(1)}, layout)


def test_axes_of_one_are_dropped_but_nothing_is_reshaped_otherwise() -> None:
    own = {"a": torch.zeros(4, 6)}
    assert match(own, {"a": torch.arange(24.0).view(1, 4, 6)}, PLAIN).tensors["a"].shape == (4, 6)
    assert match(own, {"a": torch.zeros(1, 6, 4)}, PLAIN).misshapen
    assert match(own, {"a": torch.zeros(24)}, PLAIN).misshapen


def test_a_part_that_cannot_be_split_is_reported_with_its_shape() -> None:
    layout = Layout("split", "", splits=((r"qkv", ("q", "k", "v")),))
    own = {name: torch.zeros(2) for name in "qkv"}
    assert match(own, {"qkv": torch.arange(6.0)}, layout).tensors["k"].tolist() == [2, 3]
    assert match(own, {"qkv": torch.arange(7.0)}, layout).misshapen["k"] == ((7,), (2,))


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_an_inflated_kernel_gives_the_frame_of_a_still_clip(steps: int) -> None:
    torch.manual_seed(0)
    kernel, frame = torch.randn(4, 3, 3, 3), torch.randn(2, 3, 8, 8)
    clip = frame.unsqueeze(2).expand(-1, -1, steps, -1, -1)
    assert inflate(kernel, steps).shape == (4, 3, steps, 3, 3)
    assert torch.allclose(F.conv3d(clip, inflate(kernel, steps))[:, :, 0], F.conv2d(frame, kernel), atol=1e-5)
