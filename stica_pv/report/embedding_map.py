"""Map of the test clips: PCA and t-SNE of their features, colored by class; a point shows its frame on hover."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.report.charts import SERIES, series_style
from stica_pv.report.page import fragment
from stica_pv.report.thumbnails import STILL_SIDE, Thumbnails

# Corners of the markers within -8 to 8, by their distances from the center and the turn of the first in degrees.
MARKERS: tuple[tuple[tuple[float, ...], float], ...] = (
    ((7.0,) * 16, 0.0),  # disk
    ((9.0,) * 4, 45.0),  # square
    ((9.0,) * 4, 0.0),  # diamond
    ((9.0,) * 3, -90.0),  # triangle
    ((9.0,) * 3, 90.0),
    ((9.0, 3.5) * 4, 0.0),  # star of four
    ((9.0, 3.5) * 4, 45.0),
    ((9.5, 4.0) * 5, -90.0),
)
POINTS, CLASSES = 300, 24
PERPLEXITY = 30
WIDTH, HEIGHT, MARGIN = 400, 300, 14  # of a map in its own units, as in map.html
MISSING = "The map of embeddings needs scikit-learn: pip install -c constraints.txt -e '.[eval]'"

Plane = NDArray[np.float64]


def chosen_for_map(labels: Tensor) -> Tensor:
    """Return the rows of V items to draw, int64 ascending: at most `CLASSES` largest classes, `POINTS` points.

    Args:
        labels: int64 (V,).
    """
    classes, counts = labels.unique(return_counts=True)
    kept = classes[counts.argsort(descending=True, stable=True)[:CLASSES]]
    rows = torch.isin(labels, kept).nonzero().flatten()
    if len(rows) <= POINTS:
        return rows
    # Keep the share of every class, evenly over the list.
    by_class = rows[labels[rows].argsort(stable=True)]
    return by_class[torch.linspace(0, len(by_class) - 1, POINTS).round().long()].sort().values


def planes_of(features: Tensor) -> dict[str, Plane]:
    """Project rows (V, D), V >= 4, to the plane: ``PCA`` and ``t-SNE``, each (V, 2); equal rows give equal maps.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise UsageError(MISSING) from error
    rows = features.double().numpy()
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    return {
        "PCA": PCA(2, svd_solver="full").fit_transform(rows),
        "t-SNE": TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(rows),
    }


def map_of(features: Sequence[tuple[str, Tensor]], items: Tensor, labels: Tensor, thumbnails: Thumbnails) -> Markup:
    """Draw the maps of several models.

    Args:
        features: Model names with the rows of the items, (V, D).
        items: Items of the data set, int64 (V,).
        labels: Classes of the items, int64 (V,).
        thumbnails: Source of frames and names; the page must include its store.

    Raises:
        UsageError: An extra is missing.
    """
    classes = {label: number for number, label in enumerate(labels.unique().tolist())}
    series = [classes[label] for label in labels.tolist()]
    spots = [
        (thumbnails.get(item, "still"), f"{thumbnails.label(item)}: {thumbnails.name(item)}") for item in items.tolist()
    ]
    planes = [(model, how, plane) for model, rows in features for how, plane in planes_of(rows).items()]
    drawn = [
        (f"{how}, {model}", _points(plane, series))
        for model, how, plane in sorted(planes, key=lambda one: one[1])  # the same projection side by side
    ]
    first = {label: int((labels == label).nonzero()[0]) for label in classes}
    names = [(thumbnails.label(int(items[row])), *_appearance(number)) for number, row in enumerate(first.values())]
    image, name = next((spot for spot in spots if spot[0]), (None, ""))
    return fragment("map.html", planes=drawn, classes=names, spots=spots, image=image, name=name, width=STILL_SIDE)


def _points(plane: Plane, series: Sequence[int]) -> list[tuple[int, float, float, str, str]]:
    """Return number, place, outline and color of each point of a map."""
    low, high = plane.min(axis=0), plane.max(axis=0)
    shares = (plane - low) / np.maximum(high - low, 1e-12)
    x = MARGIN + shares[:, 0] * (WIDTH - 2 * MARGIN)
    y = HEIGHT - MARGIN - shares[:, 1] * (HEIGHT - 2 * MARGIN)
    found = []
    for number, one in enumerate(series):
        color, outline = _appearance(one)
        found.append((number, round(float(x[number]), 1), round(float(y[number]), 1), outline, color))
    return found


def _appearance(number: int) -> tuple[str, str]:
    """Return color and outline of a class: distinct for `CLASSES` classes; neighbors differ in both."""
    return series_style(number), _outline(*MARKERS[(number + number // SERIES) % len(MARKERS)])


def _outline(distances: Sequence[float], turn: float) -> str:
    """Return the outline of a marker as an SVG path."""
    angles = [math.radians(turn + 360 * number / len(distances)) for number in range(len(distances))]
    corners = [(d * math.cos(angle), d * math.sin(angle)) for d, angle in zip(distances, angles, strict=True)]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"
