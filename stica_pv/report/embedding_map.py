"""Map of the test clips: PCA and t-SNE of their features, colored by class; a point shows its frame on hover."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.report.charts import SERIES, chart, grid, series_color
from stica_pv.report.page import fragment
from stica_pv.report.thumbnails import STILL_SIDE, Thumbnails

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes

MARKERS = "osD^vPX*"
POINTS, CLASSES = 300, 24
PERPLEXITY = 30
SIZE = (4.6, 3.4)  # of a map in inches
MISSING = "The map of embeddings needs scikit-learn: pip install -c constraints.txt -e '.[eval]'"
_SPOT = re.compile(r'<a xlink:href="spot:(\d+)"[^>]*>(.*?)</a>', re.DOTALL)

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
    spots = [(thumbnails.get(item, "still"), thumbnails.name(item), thumbnails.label(item)) for item in items.tolist()]
    planes = [(model, how, plane) for model, rows in features for how, plane in planes_of(rows).items()]
    charts = [
        _touchable(
            chart(_drawing(plane, series), title=f"{how}, {model}", x=f"{how} 1", y=f"{how} 2", size=SIZE), spots
        )
        for model, how, plane in sorted(planes, key=lambda one: one[1])  # the same projection side by side
    ]
    first = {label: int((labels == label).nonzero()[0]) for label in classes}
    names = [
        (thumbnails.label(int(items[row])), _appearance(number)[0], _outline(MARKERS[_appearance(number)[1]]))
        for number, row in enumerate(first.values())
    ]
    shown = next((spot for spot in spots if spot[0]), (None, "", ""))
    return fragment(
        "map.html", charts=grid(charts), classes=names, image=shown[0], name=f"{shown[2]}: {shown[1]}", width=STILL_SIDE
    )


def _drawing(plane: Plane, series: Sequence[int]) -> Callable[["Axes"], None]:
    def draw(axes: "Axes") -> None:
        for number in sorted(set(series)):
            own = [row for row, one in enumerate(series) if one == number]
            color, marker = series_color(number), MARKERS[_appearance(number)[1]]
            spots = [f"spot:{row}" for row in own]
            axes.scatter(plane[own, 0], plane[own, 1], s=22, c=color, marker=marker, urls=spots)
        axes.set_xticks([])
        axes.set_yticks([])

    return draw


def _appearance(number: int) -> tuple[int, int]:
    """Return color and marker of a class: distinct for `CLASSES` classes; neighbors differ in both."""
    return number % len(SERIES), (number + number // len(SERIES)) % len(MARKERS)


def _outline(marker: str) -> str:
    """Return the outline of a marker as an SVG path within -8 to 8, for the legend."""
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    corners = np.asarray(style.get_path().transformed(style.get_transform()).to_polygons()[0]).tolist()
    return "M" + "L".join(f"{10 * x:.1f} {-10 * y:.1f}" for x, y in corners) + "Z"


def _touchable(svg: Markup, spots: Sequence[tuple[str | None, str, str]]) -> Markup:
    """Replace the links that matplotlib wrote around the points by elements that the script of the page handles."""

    def spot(match: re.Match[str]) -> str:
        frame, name, label = spots[int(match.group(1))]
        return fragment("spot.html", frame=frame or "", name=f"{label}: {name}", point=Markup(match.group(2)))

    return Markup(_SPOT.sub(spot, svg))
