"""Optical flow computed by OpenCV, where it is installed."""

import runpy
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import make_media

from stica_pv.data.conversion.optical_flow import FlowSettings, compute_flow
from stica_pv.data.decoding.flow_files import FLOW, TIMES, FlowFiles
from stica_pv.data.decoding.reader import read
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import ClipRequest, Window

TOOL = Path(__file__).resolve().parents[3] / "tools" / "compute_flow.py"
WIDTH, HEIGHT, FPS, COUNT = 96, 64, 25, 12
MOVE = (2, 1)  # pixels a frame, to the right and downwards


def moving(path: Path, count: int = COUNT, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write a smooth random texture that moves by `MOVE` from frame to frame."""
    rng = np.random.default_rng(0)
    waves = np.stack(np.meshgrid(np.arange(4 * WIDTH), np.arange(4 * HEIGHT)))
    texture = sum(
        np.sin((waves * rng.normal(0, 0.25, (2, 1, 1))).sum(0) + phase) for phase in rng.uniform(0, 6, size=12)
    )
    texture = ((texture - texture.min()) / np.ptp(texture) * 255).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for i in range(count):
            left, top = WIDTH - MOVE[0] * i, HEIGHT - MOVE[1] * i
            part = texture[top : top + size[1], left : left + size[0]]
            frame = av.VideoFrame.from_ndarray(np.repeat(part[..., None], 3, 2), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_without_opencv_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UsageError, match=r"pip install opencv-python-headless, or -e '.\[flow\]'"):
        FlowSettings()


def computed(path: Path, **settings: float) -> tuple[np.ndarray, np.ndarray]:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    compute_flow(str(path), path.with_suffix(".npz"), FlowSettings(**settings))
    with np.load(path.with_suffix(".npz")) as stored:
        return stored[FLOW], stored[TIMES]


def test_every_frame_but_the_last_has_the_motion_to_the_next(tmp_path: Path) -> None:
    flow, times = computed(moving(tmp_path / "a.mp4"), bound=10.0)
    assert (flow.shape, flow.dtype) == ((COUNT - 1, 2, HEIGHT, WIDTH), np.uint8)
    assert times == pytest.approx(np.arange(COUNT - 1) / FPS)
    middle = (flow[:, :, 12:-12, 12:-12] / 127.5 - 1) * 10.0
    assert np.median(middle, axis=(2, 3)) == pytest.approx(np.tile(MOVE, (COUNT - 1, 1)), abs=0.15)


def test_faster_motion_than_the_bound_is_cut_and_smaller_frames_move_less(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.mp4")
    cut, _ = computed(path, bound=1.0)
    assert np.median(cut[:, 0]) == 255
    small, _ = computed(path, bound=10.0, short_side=32)
    assert small.shape[2:] == (32, 48)
    assert np.median((small[:, 0, 6:-6, 6:-6] / 127.5 - 1) * 10.0) == pytest.approx(MOVE[0] / 2, abs=0.15)


@pytest.mark.parametrize(
    ("fps", "kept"), [(0.0, range(11)), (25.0, range(11)), (10.0, (0, 3, 5, 8, 10)), (6.25, (0, 4, 8))]
)
def test_kept_fields_are_those_of_the_first_frames_at_or_after_their_instants(
    tmp_path: Path, fps: float, kept: range | tuple[int, ...]
) -> None:
    path = moving(tmp_path / "a.mp4")
    every, _ = computed(path)
    flow, times = computed(path, fps=fps)
    assert times == pytest.approx(np.array(kept) / FPS)
    assert np.array_equal(flow, every[list(kept)])  # exact: copied, not calculated


def test_what_is_computed_is_read_for_the_window(tmp_path: Path) -> None:
    path = moving(tmp_path / "a.mp4")
    flow, _ = computed(path)
    request = ClipRequest(Window(0.12, 0.2), 0, 12.5, flow_frames=2)
    clip = read(str(path), {"w": request}, flow=FlowFiles(tmp_path, tmp_path))["w"]
    assert np.array_equal(clip.flow.numpy(), flow[[3, 5]].transpose(1, 0, 2, 3))  # exact: copied, not calculated


def test_what_has_no_flow_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    make_media(tmp_path / "audio.mp4", video=None, seconds=0.5)
    moving(tmp_path / "one.mp4", count=1)
    moving(tmp_path / "tiny.mp4", size=(64, 12))
    for name, cause in (
        ("audio", "no video stream"),
        ("one", "a single frame has no optical flow"),
        ("tiny", "frames of 64 x 12 pixels; optical flow needs 16 x 16"),
    ):
        with pytest.raises(UnreadableClip, match=cause):
            computed(tmp_path / f"{name}.mp4")
    assert {path.suffix for path in tmp_path.iterdir()} == {".mp4"}


@pytest.mark.parametrize("wrong", [{"bound": 0.0}, {"fps": -1.0}, {"short_side": -1}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="optical flow needs short_side >= 0, bound > 0 and fps >= 0"):
        FlowSettings(**wrong)


@pytest.mark.slow
def test_the_tool_names_failures_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    source, target = tmp_path / "set", tmp_path / "flow"
    (source / "a b").mkdir(parents=True)
    moving(source / "a b" / "one.mp4", count=4)
    (source / "two.mp4").write_bytes(b"nothing")
    (source / "train.csv").write_text("a b/one.mp4 1\ntwo.mp4 0\n")
    main = runpy.run_path(str(TOOL))["main"]
    arguments = [str(source), str(target), "--processes", "1", "--short-side", "32"]
    assert main(arguments) == 0
    assert "1 computed, 0 already present, 1 failed" in capsys.readouterr().out
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert files == {"a b/one.npz", "flow_receipts.csv", "flow_failures.csv"}
    assert "two.mp4,invalid data" in (target / "flow_failures.csv").read_text()
    written = (target / "a b" / "one.npz").stat().st_mtime_ns
    moving(source / "two.mp4", count=3)
    assert main(arguments) == 0
    assert "1 computed, 1 already present, 0 failed" in capsys.readouterr().out
    assert (target / "a b" / "one.npz").stat().st_mtime_ns == written
    assert main([*arguments, "--bound", "0"]) == 2
    assert main([str(source), str(source / "inside")]) == 2
    assert "choose a folder outside of it" in capsys.readouterr().err
