"""The clips of a step as one image, for use without a browser."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stica_pv.errors import UsageError
from stica_pv.report.batch_page import frame_times, in_order, spec_of
from stica_pv.report.inspected_step import InspectedStep
from stica_pv.report.strips import FRAMES_SHOWN, frames_shown, rectangles_of, spectrogram_of, strip_of

# Of light theme.css: the colors of its series, ink, muted text and ground.
COLORS = ("#0b69b7", "#c4500a", "#007a5e", "#a63f7a", "#8a6a00", "#2b86b8", "#6a4fa3", "#5f6874")
INK, MUTED, GROUND = "#171b21", "#525b67", "#ffffff"
WIDTH, MARGIN, SPECTROGRAM_HEIGHT = 1200, 16, 96
TEXT, LINE_HEIGHT = 13, 20


def write_contact_sheet(inspected: InspectedStep, path: Path, title: str) -> Path:
    """Write a PNG with one row per input of each clip: its frames or spectrogram over their times in the file.

    Args:
        inspected: Inspected step.
        path: Output file; its folder is created.
        title: Title of the image.

    Raises:
        UsageError: The file cannot be written.
    """
    names = in_order(inspected)
    rows = [_text(title, INK)]
    for sample in range(len(inspected)):
        rows.append(_text(f"{sample + 1}. {inspected.names[sample]}", INK))
        rows += [part for name in names for part in _row(inspected, sample, name)]
    sheet = Image.new("RGB", (WIDTH + 2 * MARGIN, sum(row.height for row in rows) + 2 * MARGIN), GROUND)
    top = MARGIN
    for row in rows:
        sheet.paste(row, (MARGIN, top))
        top += row.height
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path, "PNG", optimize=True)
    except OSError as error:
        raise UsageError(f"the contact sheet {path} cannot be written: {error.strerror or error}") from error
    return path


def _row(inspected: InspectedStep, sample: int, name: str) -> list[Image.Image]:
    """Return heading, image and times of one input."""
    note, value = inspected.notes[name], inspected.inputs[name][sample]
    if value.ndim == 4:
        strip = strip_of(value, note)
        scale = WIDTH / strip.pixels.shape[1]
        image = _resized(strip.pixels, round(strip.pixels.shape[0] * scale))
        pen = ImageDraw.Draw(image)
        for one in rectangles_of(strip, note, sample):
            corners = [scale * at for at in (one.left, one.top, one.left + one.width, one.top + one.height)]
            pen.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), None, COLORS[one.window % 8], 2)
        count = len(strip.frames)
    else:
        image = _resized(spectrogram_of(value), SPECTROGRAM_HEIGHT)
        count = len(frames_shown(spec_of(inspected, name).frames)) or FRAMES_SHOWN
    changes = f": {note.changes[sample]}" if note.changes else ""
    times = [f"{time:.2f} s" for time in frame_times(inspected, sample, name, count)]
    return [_text(f"{name}{changes}", MUTED), image, _text(times, MUTED)]


def _resized(pixels: np.typing.NDArray[np.uint8], height: int) -> Image.Image:
    return Image.fromarray(pixels).convert("RGB").resize((WIDTH, height), Image.Resampling.NEAREST)


def _text(texts: str | list[str], color: str) -> Image.Image:
    """Return a line of text, or several texts over equal parts of the width."""
    parts = [texts] if isinstance(texts, str) else texts
    line = Image.new("RGB", (WIDTH, LINE_HEIGHT), GROUND)
    pen = ImageDraw.Draw(line)
    for number, text in enumerate(parts):
        plain = "".join(
            letter if letter.isprintable() else "?" for letter in text.replace("\N{MULTIPLICATION SIGN}", "x")
        )
        pen.text((number * WIDTH / len(parts), 2), plain, color, ImageFont.load_default(TEXT))
    return line
