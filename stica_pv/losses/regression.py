"""Regression of one view's projection onto another's, without negatives (BraVe, arXiv 2103.16559, section 3)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.precision import full_precision

SHORTEST = 1e-5  # lower bound of norms, as released


def regression_rows(predictions: Tensor, targets: Tensor) -> Tensor:
    """Returns r(x, y) = ½ |x/|x| - y/|y||² = 1 - cos(x, y) of each row; chance is 1, equal directions give 0.

    Args:
        predictions: Predictions h(z) of one view, (…, B, D).
        targets: Projections z of the other view, (…, B, D); they get no gradient.

    Returns:
        (…, B) in fp32, or the type of the rows if that is wider; ½ where exactly one of the two rows is 0.
    """
    with full_precision(predictions.device):
        wide = torch.promote_types(predictions.dtype, torch.float32)
        x, y = (F.normalize(rows.to(wide), dim=-1, eps=SHORTEST) for rows in (predictions, targets.detach()))
        return (x - y).square().sum(dim=-1) / 2
