"""The clips of a step as one image, for use without a browser."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from stica_pv.errors import UsageError
from stica_pv.report.batch_page import frame_times, in_order, spec_of
from stica_pv.report.charts import check_extra
from stica_pv.report.inspected_step import InspectedStep
from stica_pv.report.strips import FRAMES_SHOWN, frames_shown, rectangles_of, spectrogram_of, strip_of

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes

COLORS = ("#0072b2", "#c8500a", "#00785a", "#a8457c", "#8a6d00", "#2a86c0", "#6b4fa0", "#5f6670")
DASHES = ("-", "--", ":", "-.")
WIDTH_INCHES, LANE_INCHES = 11.0, 1.75
DPI = 110


def write_contact_sheet(inspected: InspectedStep, path: Path, title: str) -> Path:
    """Write a PNG with one row per input of each clip, over the seconds of its window.

    Args:
        inspected: Inspected step.
        path: Output file; its folder is created.
        title: Title of the image.

    Raises:
        UsageError: The extra is not installed, or the file cannot be written.
    """
    check_extra()
    from matplotlib import rc_context, rcdefaults
    from matplotlib.figure import Figure

    names = in_order(inspected)
    rows = [(sample, name) for sample in range(len(inspected)) for name in names]
    with rc_context():
        rcdefaults()
        figure = Figure(figsize=(WIDTH_INCHES, LANE_INCHES * len(rows) + 0.6), layout="constrained")
        figure.suptitle(_plain(title), fontsize=11)
        for axes, (sample, name) in zip(figure.subplots(len(rows), 1, squeeze=False)[:, 0], rows, strict=True):
            _draw(axes, inspected, sample, name)
            clip = f"{sample + 1}. {inspected.names[sample]}\n" if name == names[0] else ""
            changes = inspected.notes[name].changes
            axes.set_title(_plain(f"{clip}{name}: {changes[sample] if changes else ''}"), fontsize=8, loc="left")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph", UserWarning)  # shown as a box here; the page has the name
                figure.savefig(path, dpi=DPI)
        except OSError as error:
            raise UsageError(f"the contact sheet {path} cannot be written: {error.strerror or error}") from error
    return path


def _draw(axes: "Axes", inspected: InspectedStep, sample: int, name: str) -> None:
    note, value = inspected.notes[name], inspected.inputs[name][sample]
    seconds = inspected.sampled[sample].windows[spec_of(inspected, name).window].seconds
    if value.ndim == 4:
        strip = strip_of(value, note)
        height, width = strip.pixels.shape[:2]
        axes.imshow(strip.pixels, extent=(0, seconds, height, 0), aspect="auto", interpolation="nearest")
        axes.set_ylabel("px", fontsize=7)
        from matplotlib.patches import Rectangle

        for one in rectangles_of(strip, note, sample):
            corner, size = (one.left * seconds / width, one.top), one.width * seconds / width
            color, dashes = COLORS[one.window % len(COLORS)], DASHES[one.window % len(DASHES)]
            axes.add_patch(
                Rectangle(corner, size, one.height, fill=False, linewidth=1.2, edgecolor=color, linestyle=dashes)
            )
        count = len(strip.frames)
    else:
        grays = spectrogram_of(value)
        axes.imshow(grays, extent=(0, seconds, 0, len(grays)), aspect="auto", cmap="gray", interpolation="nearest")
        axes.set_ylabel("band", fontsize=7)
        count = len(frames_shown(spec_of(inspected, name).frames)) or FRAMES_SHOWN
    times = frame_times(inspected, sample, name, count)
    axes.set_xticks([i * seconds / count for i in range(count)], [f"{time:.2f} s" for time in times])
    axes.tick_params(labelsize=7)


def _plain(text: str) -> str:
    """Return text for matplotlib without formulas and control characters."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text).replace("$", r"\$")
