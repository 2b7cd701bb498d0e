"""The clips of a step as sections of a page: what was drawn, what the networks see and hear, what they make of it."""

from typing import Any

import numpy as np
from markupsafe import Markup

from stica_pv.report.charts import SERIES, legend, series_dash
from stica_pv.report.media import audio, frame
from stica_pv.report.page import Section, fragment, join, table
from stica_pv.report.seen_step import InspectedStep
from stica_pv.report.strips import FRAMES_SHOWN, frames_shown, spans_of, spectrogram_of, strip_of, windows_of
from stica_pv.structures import ViewSpec
from stica_pv.transforms import CropBox

INTRO = (
    "Each strip is a network input brought back to colors. Its frames stand for equal parts of the time, with their "
    "time in the file below them. Every window of feature crops is drawn where its cells lie in the input, on a frame "
    "of its own, or as a bar if it is a part of the time; the network sees somewhat beyond it. A spectrogram has the "
    "time axis of the frames above it, low bands at the bottom, the loudest black."
)


def sections_of(seen: InspectedStep) -> list[Section]:
    """Returns a section for each clip."""
    count = range(len(seen))
    return [Section(_title(seen, sample), clip_of(seen, sample), "" if sample else INTRO) for sample in count]


def clip_of(seen: InspectedStep, sample: int) -> Markup:
    """Shows one clip of a step."""
    parts = [fragment("clip_head.html", facts=_facts(seen, sample), sources=_sources(seen, sample))]
    parts += [lane_of(seen, sample, name) for name in in_order(seen)]
    unseen = [name for name, value in seen.inputs.items() if name not in seen.notes and value.ndim > 2]
    if unseen:
        parts.append(fragment("missing.html", sentences=[f"The task does not say how to show: {', '.join(unseen)}."]))
    return join([*parts, *similarities(seen, sample)])


def in_order(seen: InspectedStep) -> list[str]:
    """Returns the inputs by window, the images of a window before its audio."""
    windows = list(dict.fromkeys(spec.window for spec in seen.views.specs))
    return sorted(seen.notes, key=lambda name: (windows.index(spec_of(seen, name).window), seen.inputs[name].ndim < 5))


def spec_of(seen: InspectedStep, name: str) -> ViewSpec:
    """Returns the view that an input is made of."""
    return next(spec for spec in seen.views.specs if spec.name == seen.notes[name].view)


def frame_times(seen: InspectedStep, sample: int, name: str, frames: int) -> list[float]:
    """Returns the time of `frames` equal parts of an input in the file, in seconds, in the order of the input."""
    spec, drawn = spec_of(seen, name), seen.drawn[sample]
    window, clip = drawn.windows[spec.window], drawn.clips[spec.window]
    times: list[float] = clip.frame_times_s.tolist()
    if not times:  # audio alone has no images to ask for their times
        times = [window.start_s + i * window.seconds / frames for i in range(frames)]
        times = [time % drawn.seconds for time in times] if window.at_end == "loop" and drawn.seconds else times
    times = times[::-1] if spec.reversed or seen.notes[name].reversed else times
    return [times[i * len(times) // frames] for i in range(frames)]


def lane_of(seen: InspectedStep, sample: int, name: str) -> Markup:
    """Shows one input of a clip, with its windows, attention and audio."""
    note, value = seen.notes[name], seen.inputs[name][sample]
    is_frames = value.ndim == 4
    parts: dict[str, Any] = {"images": "", "spectrogram": "", "spans": [], "audio": "", "windows": ""}
    changes = [note.changes[sample]] if note.changes else []
    count = len(frames_shown(spec_of(seen, name).frames)) or FRAMES_SHOWN
    if is_frames:
        strip = strip_of(value, note)
        count = len(strip.frames)
        changes += [f"{strip.outside:.1%} of the values lie outside what a screen can show"] if strip.outside else []
        parts["images"] = frame(strip.pixels, f"{name}: {count} of {strip.shape[0]} frames")
        parts["windows"] = _windows(seen, sample, name)
        spans = spans_of(note, sample, strip.shape[0])
        parts["spans"] = [(note.windows[one.window].name, one, _style(one.window)) for one in spans]
        changes.insert(0, f"{strip.shape[0]} frames of {strip.shape[2]} x {strip.shape[1]} px")
    else:
        grays = spectrogram_of(value)
        parts["spectrogram"] = frame(grays, f"{name}: {grays.shape[0]} bands by {grays.shape[1]} columns")
        parts["audio"] = _audio(seen, sample, name)
        changes.insert(0, f"{grays.shape[0]} bands, {grays.shape[1]} columns")
    attention = seen.attention.get(name)
    layers = [] if attention is None else attention[sample].tolist()
    top = max((share for layer in layers for share in layer), default=1.0)
    return fragment(
        "lane.html",
        **parts,
        title=name,
        changes="; ".join(changes),
        times=[f"{time:.2f} s" for time in frame_times(seen, sample, name, count)],
        attention=[[(f"{share:.0%}", 100 * share / top) for share in layer] for layer in layers],
        equal=f"{1 / len(layers[0]):.0%}" if layers else "",
    )


def similarities(seen: InspectedStep, sample: int) -> list[Markup]:
    """A table of the compared rows of a clip: queries by keys; nothing if no network was asked."""
    if not seen.comparisons:
        return []
    keys = list(dict.fromkeys(one.key for one in seen.comparisons))
    rows: dict[str, list[tuple[str, float] | None]] = {one.query: [None] * len(keys) for one in seen.comparisons}
    others = len(seen) - 1
    for one in seen.comparisons:
        own = float(one.similarity[sample, sample])
        text = f"{own:.2f}"
        if others:
            text += f" ({(float(one.similarity[sample].sum()) - own) / others:.2f})"
        rows[one.query][keys.index(one.key)] = text, 100 * max(0.0, min(1.0, own))
    return [fragment("similarity.html", keys=keys, rows=list(rows.items()), others=others)]


def _title(seen: InspectedStep, sample: int) -> str:
    return f"{sample + 1}. {seen.names[sample]}"


def _facts(seen: InspectedStep, sample: int) -> Markup:
    """What drew what."""
    key, drawn, place = seen.keys[sample], seen.drawn[sample], int(seen.batch.index[sample])
    rows: list[tuple[str, str]] = [
        ("file", seen.names[sample]),
        ("key", f"seed {seen.seed}, epoch {key.epoch}, index {key.index}"),
    ]
    if place != key.index:
        rows.append(("replaced", f"the file of index {key.index} cannot be read; this is index {place} in its place"))
    rows += [("class", seen.classes[sample])] if seen.classes else []
    rows.append(("length", f"{drawn.seconds:.2f} s"))
    for name, window in drawn.windows.items():
        rows.append((f"window {name}", f"{window.start_s:.3f} s to {window.start_s + window.seconds:.3f} s"))
        if window.start_s + window.seconds > drawn.seconds + 1e-3:
            rows.append((f"end of {name}", f"the file ends at {drawn.seconds:.2f} s: {AT_END_WORDS[window.at_end]}"))
    for view, box in drawn.boxes.items():
        rows.append((f"crop of {view}", _describe_box(box)))
    for view, share in seen.batch.audio_valid.items():
        rows.append((f"audio of {view}", f"{float(share[sample]):.0%} of it is in the file"))
    return table(("what", "drawn"), rows)


AT_END_WORDS = {"pad": "filled up", "shift": "moved back", "loop": "played again from its beginning"}


def _describe_box(box: CropBox | None) -> str:
    if box is None:
        return "its transform does not tell"
    mirrored = ", mirrored" if box.flip else ""
    return f"{box.width} x {box.height} px from {box.left} to the right and {box.top} down{mirrored}"


def _sources(seen: InspectedStep, sample: int) -> list[tuple[str, Markup]]:
    """The middle image of each window as it was decoded, with the boxes that its views cut."""
    drawn, found = seen.drawn[sample], []
    for window, clip in drawn.clips.items():
        views = [spec.name for spec in seen.views.specs if spec.window == window and drawn.boxes.get(spec.name)]
        if not clip.frames.shape[1]:
            continue
        middle = clip.frames[:, clip.frames.shape[1] // 2].permute(1, 2, 0).contiguous().numpy()
        boxes = []
        for number, view in enumerate(views):
            box = drawn.boxes[view]
            if box is not None:
                boxes.append(_mark(number, view, box.left, box.top, box.width, box.height))
        alt = f"image in the middle of window {window}, {middle.shape[1]} x {middle.shape[0]} px"
        shown = fragment(
            "images.html", frame=frame(middle, alt), width=middle.shape[1], height=middle.shape[0], boxes=boxes
        )
        found.append((f"source, window {window}", join([shown, legend(views)])))
    return found


def _windows(seen: InspectedStep, sample: int, name: str) -> Markup:
    """The windows that are a part of the image, each on a frame of its own."""
    note = seen.notes[name]
    found = windows_of(seen.inputs[name][sample], note, sample)
    if found is None:
        return Markup("")
    strip, places = found
    names = [note.windows[one.window].name for one in places]
    boxes = [
        _mark(one.window, text, one.left, one.top, one.width, one.height)
        for one, text in zip(places, names, strict=True)
    ]
    height, width = strip.pixels.shape[:2]
    shown = frame(strip.pixels, f"{len(names)} windows of {name}, each on a frame of its own")
    frames = fragment("images.html", frame=shown, width=width, height=height, boxes=boxes)
    share = 100 * min(1.0, len(names) / FRAMES_SHOWN)
    return fragment("windows.html", frames=frames, names=names, share=share)


def _mark(number: int, name: str, left: float, top: float, width: float, height: float) -> dict[str, Any]:
    place = {"left": left, "top": top, "width": width, "height": height}
    return {**place, "name": name, "style": _style(number)}


def _style(number: int) -> str:
    """Color and dashes of a series, as the legend shows them."""
    dash, color = series_dash(number), f"var(--series-{number % len(SERIES)})"
    dashes = "none" if dash == "solid" else " ".join(str(2 * length) for length in dash[1])
    return f"stroke: {color}; background: {color}; stroke-dasharray: {dashes}"


def _audio(seen: InspectedStep, sample: int, name: str) -> Markup:
    """The audio of a view as the loader gives it, before the volume is drawn; backwards where the input is."""
    note, spec = seen.notes[name], spec_of(seen, name)
    if note.view not in seen.batch.audio or spec.audio is None:
        return Markup("")
    waveform = seen.batch.audio[note.view][sample].numpy()
    waveform = np.ascontiguousarray(waveform[::-1]) if note.reversed else waveform
    return audio(waveform, spec.audio.sample_rate_hz, f"audio of {name}")
