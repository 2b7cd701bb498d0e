"""Page sections of the clips of a step: sampled parameters, network inputs, attention and similarities."""

from typing import Any

import numpy as np
from markupsafe import Markup

from stica_pv.report.charts import legend, series_dashes, series_style
from stica_pv.report.inspected_step import InspectedStep
from stica_pv.report.media import audio, png_image
from stica_pv.report.page import Section, card, fragment, join, table
from stica_pv.report.strips import FRAMES_SHOWN, frames_shown, spans_of, spectrogram_of, strip_of, windows_of
from stica_pv.structures import ViewSpec
from stica_pv.transforms import CropBox

INTRO = (
    "Each strip shows a network input, with normalization undone. Its frames represent equal parts of the clip, with "
    "their time in the file below them. Every feature-crop window is drawn at the position of its cells in the input: "
    "spatial windows on a frame of their own, temporal windows as bars; the receptive field is larger. A spectrogram "
    "shares the time axis of the frames above it, with low bands at the bottom and the loudest values in black."
)


def sections_of(inspected: InspectedStep) -> list[Section]:
    """Return one section per clip."""
    clips = [card(clip_of(inspected, sample)) for sample in range(len(inspected))]
    return [Section(_title(inspected, sample), clip, "" if sample else INTRO) for sample, clip in enumerate(clips)]


def clip_of(inspected: InspectedStep, sample: int) -> Markup:
    """Render one clip of a step."""
    parts = [fragment("clip_head.html", parameters=_parameters(inspected, sample), sources=_sources(inspected, sample))]
    parts += [lane_of(inspected, sample, name) for name in in_order(inspected)]
    hidden = [name for name, value in inspected.inputs.items() if name not in inspected.notes and value.ndim > 2]
    if hidden:
        parts.append(fragment("missing.html", sentences=[f"Inputs without display metadata: {', '.join(hidden)}."]))
    return join([*parts, *similarities(inspected, sample)])


def in_order(inspected: InspectedStep) -> list[str]:
    """Return the input names by window, the frames of a window before its audio."""
    windows = list(dict.fromkeys(spec.window for spec in inspected.views.specs))
    return sorted(
        inspected.notes,
        key=lambda name: (windows.index(spec_of(inspected, name).window), inspected.inputs[name].ndim < 5),
    )


def spec_of(inspected: InspectedStep, name: str) -> ViewSpec:
    """Return the view of an input."""
    return next(spec for spec in inspected.views.specs if spec.name == inspected.notes[name].view)


def frame_times(inspected: InspectedStep, sample: int, name: str, frames: int) -> list[float]:
    """Return the file time in seconds of `frames` equal parts of an input, in input order."""
    spec, sampled = spec_of(inspected, name), inspected.sampled[sample]
    window, clip = sampled.windows[spec.window], sampled.clips[spec.window]
    times: list[float] = clip.frame_times_s.tolist()
    if not times:  # audio-only views have no frame times
        times = [window.start_s + i * window.seconds / frames for i in range(frames)]
        times = [time % sampled.seconds for time in times] if window.at_end == "loop" and sampled.seconds else times
    times = times[::-1] if spec.reversed or inspected.notes[name].reversed else times
    return [times[i * len(times) // frames] for i in range(frames)]


def lane_of(inspected: InspectedStep, sample: int, name: str) -> Markup:
    """Render one input of a clip, with its windows, attention and audio."""
    note, value = inspected.notes[name], inspected.inputs[name][sample]
    is_frames = value.ndim == 4
    parts: dict[str, Any] = {"images": "", "spectrogram": "", "spans": [], "audio": "", "windows": ""}
    changes = [note.changes[sample]] if note.changes else []
    count = len(frames_shown(spec_of(inspected, name).frames)) or FRAMES_SHOWN
    if is_frames:
        strip = strip_of(value, note)
        count = len(strip.frames)
        changes += [f"{strip.outside:.1%} of the values are outside the displayable range"] if strip.outside else []
        parts["images"] = png_image(strip.pixels, f"{name}: {count} of {strip.shape[0]} frames")
        parts["windows"] = _windows(inspected, sample, name)
        spans = spans_of(note, sample, strip.shape[0])
        parts["spans"] = [(note.windows[one.window].name, one, _style(one.window)) for one in spans]
        changes.insert(0, f"{strip.shape[0]} frames of {strip.shape[2]} x {strip.shape[1]} px")
    else:
        grays = spectrogram_of(value)
        parts["spectrogram"] = png_image(grays, f"{name}: {grays.shape[0]} bands by {grays.shape[1]} columns")
        parts["audio"] = _audio(inspected, sample, name)
        changes.insert(0, f"{grays.shape[0]} bands, {grays.shape[1]} columns")
    attention = inspected.attention.get(name)
    layers = [] if attention is None else attention[sample].tolist()
    top = max((share for layer in layers for share in layer), default=1.0)
    return fragment(
        "lane.html",
        **parts,
        title=name,
        changes="; ".join(changes),
        times=[f"{time:.2f} s" for time in frame_times(inspected, sample, name, count)],
        attention=[[(f"{share:.0%}", 100 * share / top) for share in layer] for layer in layers],
        equal=f"{1 / len(layers[0]):.0%}" if layers else "",
    )


def similarities(inspected: InspectedStep, sample: int) -> list[Markup]:
    """Return a table of the compared rows of a clip, queries by keys; empty without a checkpoint."""
    if not inspected.comparisons:
        return []
    keys = list(dict.fromkeys(one.key for one in inspected.comparisons))
    rows: dict[str, list[tuple[str, float] | None]] = {one.query: [None] * len(keys) for one in inspected.comparisons}
    others = len(inspected) - 1
    for one in inspected.comparisons:
        own = float(one.similarity[sample, sample])
        text = f"{own:.2f}"
        if others:
            text += f" ({(float(one.similarity[sample].sum()) - own) / others:.2f})"
        rows[one.query][keys.index(one.key)] = text, 100 * max(0.0, min(1.0, own))
    return [fragment("similarity.html", keys=keys, rows=list(rows.items()), others=others)]


def _title(inspected: InspectedStep, sample: int) -> str:
    return f"{sample + 1}. {inspected.names[sample]}"


def _parameters(inspected: InspectedStep, sample: int) -> Markup:
    """Return a table of the sampled parameters."""
    key, sampled, index = inspected.keys[sample], inspected.sampled[sample], int(inspected.batch.index[sample])
    rows: list[tuple[str, str]] = [
        ("file", inspected.names[sample]),
        ("key", f"seed {inspected.seed}, epoch {key.epoch}, index {key.index}"),
    ]
    if index != key.index:
        rows.append(("replaced", f"the file of index {key.index} is unreadable; replaced by index {index}"))
    rows += [("class", inspected.classes[sample])] if inspected.classes else []
    rows.append(("length", f"{sampled.seconds:.2f} s"))
    for name, window in sampled.windows.items():
        rows.append((f"window {name}", f"{window.start_s:.3f} s to {window.start_s + window.seconds:.3f} s"))
        if window.start_s + window.seconds > sampled.seconds + 1e-3:
            rows.append(
                (f"end of {name}", f"the file ends at {sampled.seconds:.2f} s: {END_DESCRIPTIONS[window.at_end]}")
            )
    for view, box in sampled.boxes.items():
        rows.append((f"crop of {view}", _describe_box(box)))
    for view, share in inspected.batch.audio_valid.items():
        rows.append((f"audio of {view}", f"{float(share[sample]):.0%} of it is in the file"))
    return table(("parameter", "value"), rows)


END_DESCRIPTIONS = {"pad": "padded", "shift": "window shifted back", "loop": "looped"}


def _describe_box(box: CropBox | None) -> str:
    if box is None:
        return "not reported by its transform"
    mirrored = ", flipped" if box.flip else ""
    return f"{box.width} x {box.height} px at x {box.left}, y {box.top}{mirrored}"


def _sources(inspected: InspectedStep, sample: int) -> list[tuple[str, Markup]]:
    """Return the decoded middle frame of each window, with the crop boxes of its views."""
    sampled, found = inspected.sampled[sample], []
    for window, clip in sampled.clips.items():
        views = [spec.name for spec in inspected.views.specs if spec.window == window and sampled.boxes.get(spec.name)]
        if not clip.frames.shape[1]:
            continue
        middle = clip.frames[:, clip.frames.shape[1] // 2].permute(1, 2, 0).contiguous().numpy()
        boxes = []
        for number, view in enumerate(views):
            box = sampled.boxes[view]
            if box is not None:
                boxes.append(_mark(number, view, box.left, box.top, box.width, box.height))
        alt = f"middle frame of window {window}, {middle.shape[1]} x {middle.shape[0]} px"
        shown = fragment(
            "images.html", image=png_image(middle, alt), width=middle.shape[1], height=middle.shape[0], boxes=boxes
        )
        found.append(
            (f"source, window {window}", join([shown, legend([(view, number) for number, view in enumerate(views)])]))
        )
    return found


def _windows(inspected: InspectedStep, sample: int, name: str) -> Markup:
    """Return the spatial windows, each on a frame of its own."""
    note = inspected.notes[name]
    found = windows_of(inspected.inputs[name][sample], note, sample)
    if found is None:
        return Markup("")
    strip, rectangles = found
    names = [note.windows[one.window].name for one in rectangles]
    boxes = [
        _mark(one.window, text, one.left, one.top, one.width, one.height)
        for one, text in zip(rectangles, names, strict=True)
    ]
    height, width = strip.pixels.shape[:2]
    shown = png_image(strip.pixels, f"{len(names)} windows of {name}, each on a frame of its own")
    images = fragment("images.html", image=shown, width=width, height=height, boxes=boxes)
    share = 100 * min(1.0, len(names) / FRAMES_SHOWN)
    return fragment("windows.html", images=images, names=names, share=share)


def _mark(number: int, name: str, left: float, top: float, width: float, height: float) -> dict[str, Any]:
    box = {"left": left, "top": top, "width": width, "height": height}
    return {**box, "name": name, "style": _style(number)}


def _style(number: int) -> str:
    """Return color and dashes of a series, as in the legend."""
    color = series_style(number)
    return f"stroke: {color}; background: {color}; stroke-dasharray: {series_dashes(number)}"


def _audio(inspected: InspectedStep, sample: int, name: str) -> Markup:
    """Render the audio of a view as loaded, before the random volume; reversed if the input is."""
    note, spec = inspected.notes[name], spec_of(inspected, name)
    if note.view not in inspected.batch.audio or spec.audio is None:
        return Markup("")
    waveform = inspected.batch.audio[note.view][sample].numpy()
    waveform = np.ascontiguousarray(waveform[::-1]) if note.reversed else waveform
    return audio(waveform, spec.audio.sample_rate_hz, f"audio of {name}")
