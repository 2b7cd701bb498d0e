from collections import Counter

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import SpecAugmentParams, apply_spec_augment, sample_spec_augment

NUM_MEL_BINS, COLUMNS = 8, 12


def rngs(count: int) -> list[torch.Generator]:
    return [generator("mask", index) for index in range(count)]


def test_masked_bands_and_columns_are_zero_and_the_rest_untouched() -> None:
    params = SpecAugmentParams(torch.tensor([[[2, 2]], [[0, 0]]]), torch.tensor([[[5, 3]], [[11, 1]]]))
    log_mel = torch.full((2, 1, NUM_MEL_BINS, COLUMNS), 3.0)
    masked = apply_spec_augment(log_mel, params)
    slow = log_mel.clone()
    slow[0, :, 2:4] = 0
    slow[0, :, :, 5:8] = 0
    slow[1, :, :, 11:] = 0
    assert torch.equal(masked, slow)  # exact: copied, not calculated
    assert (log_mel == 3).all()


def test_medium_draws_every_width_and_place_and_no_other() -> None:
    params = sample_spec_augment(rngs(3000), "medium", bands=NUM_MEL_BINS, columns=COLUMNS)
    bands, columns = (
        Counter(map(tuple, params.bands[:, 0].tolist())),
        Counter(map(tuple, params.columns[:, 0].tolist())),
    )
    assert set(bands) == {(first, width) for width in range(3) for first in range(NUM_MEL_BINS - width + 1)}
    assert set(columns) == {(first, width) for width in range(6) for first in range(COLUMNS - width + 1)}
    widths = Counter(width for _, width in params.bands[:, 0].tolist())
    assert all(abs(count / 3000 - 1 / 3) < 0.04 for count in widths.values())


def test_none_masks_nothing_and_heavy_masks_twice() -> None:
    log_mel = torch.ones(2, 1, NUM_MEL_BINS, COLUMNS)
    # exact: copied, not calculated
    assert torch.equal(apply_spec_augment(log_mel, sample_spec_augment(rngs(2), "none", bands=8, columns=12)), log_mel)
    assert sample_spec_augment(rngs(2), "heavy", bands=8, columns=12).bands.shape == (2, 2, 2)


def test_a_row_depends_on_its_own_generator_alone() -> None:
    all_rows = sample_spec_augment(rngs(4), "heavy", bands=NUM_MEL_BINS, columns=COLUMNS)
    alone = sample_spec_augment(rngs(4)[2:3], "heavy", bands=NUM_MEL_BINS, columns=COLUMNS)
    assert torch.equal(all_rows.bands[2:3], alone.bands)
    assert torch.equal(all_rows.columns[2:3], alone.columns)


def test_a_mask_never_leaves_a_spectrogram_of_one_band() -> None:
    params = sample_spec_augment(rngs(50), "medium", bands=1, columns=2)
    assert int(params.bands.sum(-1).max()) <= 1
    assert int(params.columns.sum(-1).max()) <= 2


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of none, mild, medium, heavy"):
        sample_spec_augment(rngs(1), "extreme", bands=8, columns=12)
    params = sample_spec_augment(rngs(2), "mild", bands=8, columns=12)
    with pytest.raises(UsageError, match="B = 2"):
        apply_spec_augment(torch.ones(3, 1, 8, 12), params)
