import torch

from stica_pv.evaluation.released import ReleasedPhotometry
from stica_pv.transforms import PhotometrySettings

VIDEO = torch.randint(0, 256, (1, 3, 2, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def look(*indices: int, seed: int = 0, **settings: float) -> torch.Tensor:
    photometry = ReleasedPhotometry(PhotometrySettings(**settings), seed)  # type: ignore[arg-type]
    return photometry(VIDEO.expand(len(indices), -1, -1, -1, -1), torch.tensor(indices))


def test_the_jitter_of_a_video_is_keyed_by_its_number_and_the_seed():
    assert torch.equal(look(3), look(3))
    assert torch.equal(look(7, 3)[1:], look(3))
    assert not torch.equal(look(3), look(3, seed=1))
    assert len({tuple(look(i).flatten()[:4].tolist()) for i in range(20)}) > 10


def test_without_jitter_only_the_normalisation_is_left():
    plain = (VIDEO.float() / 255 - 0.45) / 0.225
    assert torch.allclose(look(0, jitter_prob=0.0), plain, atol=1e-5)
    assert not torch.allclose(look(0, jitter_prob=1.0), plain, atol=1e-2)


def test_no_video_is_made_gray_or_blurred():
    assert torch.equal(look(0, gray_prob=1.0, blur_prob=1.0), look(0, gray_prob=0.0, blur_prob=0.0))
