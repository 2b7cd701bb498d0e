"""An encoder's wish for real time ends with the encoding."""

import ast
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import needs_encoders

from stica_pv.data.conversion.encoding import encoder_options, priority_kept

ROOT = Path(__file__).resolve().parents[3]
linux = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="scheduling is Linux' own")


@linux
def test_the_scheduling_is_afterwards_what_it_was():
    before = os.sched_getscheduler(0)
    assert before != os.SCHED_BATCH
    with priority_kept():
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # stands for real time, which only root may ask for
    assert os.sched_getscheduler(0) == before


@linux
def test_it_is_so_after_an_error_too():
    def fail() -> None:
        with priority_kept():
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            raise KeyError

    before = os.sched_getscheduler(0)
    pytest.raises(KeyError, fail)
    assert os.sched_getscheduler(0) == before


def threads_while_encoding(codec: str) -> int:
    """Return how many threads an open encoder adds to this process."""
    before = len(os.listdir("/proc/self/task"))
    with av.open(os.devnull, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=25, options=encoder_options(codec, {"preset": "ultrafast"}))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), format="yuv420p")
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        added = len(os.listdir("/proc/self/task")) - before
        container.mux(stream.encode(None))
    return added


@linux
@pytest.mark.parametrize("codec", ["libx265", "hevc"])
def test_x265_has_no_thread_pool(codec: str):
    needs_encoders("libx265")
    assert threads_while_encoding(codec) <= 1  # its frame encoder; a pool adds one for each core


def test_parameters_of_x265_are_kept():
    needs_encoders("libx265")
    options = encoder_options("libx265", {"g": "12", "x265-params": "log-level=none"})
    assert options == {"g": "12", "x265-params": "log-level=none:pools=none:frame-threads=1"}
    assert encoder_options("mpeg4", {"g": "12"}) == {"g": "12"}


def test_a_codec_that_is_not_fixed_gets_its_options_from_here():
    """Find files that add a video stream of a variable codec, which may be x265, without `encoder_options`."""
    wrong = []
    for path in sorted(path for folder in ("stica_pv", "tools", "tests") for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "add_stream(" not in text or "encoder_options" in text:
            continue
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            codec = call.args[0] if call.args else None
            audio = any(keyword.arg == "layout" for keyword in call.keywords)
            fixed = isinstance(codec, ast.Constant) and codec.value not in ("libx265", "hevc")
            if name == "add_stream" and not audio and not fixed:
                wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert wrong == []
