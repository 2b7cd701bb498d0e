"""Audio that headers and time stamps describe badly, against a plain decode of all packets, one after the other."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from full_decode import mono
from made_media import SAMPLE_DATA, lag_seconds, make_media, needs_encoders, sweep
from reading import one

from stica_pv.data.manifest.manifest import exclusion_cause, probe
from stica_pv.errors import UnreadableClip

MEDIA2 = SAMPLE_DATA / "media2"
RATE_HZ = 44100
WINDOWS = 9


def real(name: str) -> Path:
    if not MEDIA2.is_dir():
        pytest.skip(f"no real sample data at {MEDIA2}")
    return MEDIA2 / name


def encode(
    path: Path,
    codec: str,
    *,
    rate_hz: int = RATE_HZ,
    bit_rate: int = 128000,
    change: Callable[[int, av.Packet], None] | None = None,
    **muxing,
) -> Path:
    """Write four seconds of the sweep; `change` alters each packet."""
    needs_encoders(codec)
    samples = sweep(np.arange(4 * rate_hz) / rate_hz)
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono", options={"strict": "-2", "b": str(bit_rate)})
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        for number, packet in enumerate((*stream.encode(frame), *stream.encode(None))):
            if change is not None:
                change(number, packet)
            container.mux(packet)
    return path


def joined(path: Path) -> tuple[np.ndarray, int]:
    """Return the samples of all frames, one after the other, and their rate."""
    frames = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.audio[0]):
            frames += packet.decode()
    return np.concatenate([mono(frame) for frame in frames]), frames[0].sample_rate


def check_windows(path: Path, tolerance: float = 1e-4) -> None:
    """Compare windows with all samples joined; 0 s is the first one."""
    whole, rate_hz = joined(path)
    for start in np.arange(WINDOWS) / WINDOWS * len(whole) / rate_hz:
        clip = one(path, float(start), 0.4, 0, 0.0, rate_hz, at_end="pad")
        expected = whole[round(start * rate_hz) :][: len(clip.audio)]
        assert clip.audio_valid == pytest.approx(len(expected) / len(clip.audio), abs=0.01), start
        error = np.abs(clip.audio.numpy()[: len(expected)] - expected).mean()
        assert error <= tolerance * (np.abs(expected).mean() + 1e-4), start


@pytest.mark.parametrize(
    "name",
    ["wma_pro.wma", "wma_lossless.wma", "xhe_aac.mp4", "preskip.mp4", "preskip_65535.opus", "length_100_times.avi"],
)
def test_real_files_of_odd_audio_give_what_a_full_decode_gives(name: str):
    check_windows(real(name))


def set_pre_skip(path: Path, samples: int) -> Path:
    data = bytearray(path.read_bytes())
    at = data.index(b"dOps") + 6
    data[at : at + 2] = samples.to_bytes(2, "big")
    path.write_bytes(data)
    return path


def test_a_pre_skip_longer_than_the_preroll_leaves_no_silence(tmp_path: Path):
    check_windows(set_pre_skip(encode(tmp_path / "a.mp4", "libopus", rate_hz=48000), 24000), 0.02)


@pytest.mark.parametrize(("rate_hz", "bit_rate"), [(44100, 32000), (32000, 32000), (16000, 16000), (8000, 8000)])
def test_mp3_of_a_low_bit_rate_has_all_bits_of_its_first_frames(tmp_path: Path, rate_hz: int, bit_rate: int):
    check_windows(encode(tmp_path / "a.mp3", "libmp3lame", rate_hz=rate_hz, bit_rate=bit_rate))


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms", "g722"])
def test_stamps_that_follow_from_a_bit_rate_move_no_samples(tmp_path: Path, codec: str):
    check_windows(encode(tmp_path / "a.wav", codec, rate_hz=16000 if codec == "g722" else RATE_HZ))


@pytest.mark.parametrize(("ending", "codec"), [("aac", "aac"), ("mp3", "libmp3lame")])
def test_bare_packets_have_the_length_that_they_add_up_to(tmp_path: Path, ending: str, codec: str):
    def silent_first(number: int, packet: av.Packet) -> None:  # the bit rate of the first packets misleads
        packet.pts = packet.dts = packet.pts

    path = encode(
        tmp_path / f"a.{ending}", codec, change=silent_first, **({"write_xing": "0"} if ending == "mp3" else {})
    )
    whole, rate_hz = joined(path)
    assert probe(str(path)).audio_seconds == pytest.approx(len(whole) / rate_hz, abs=0.03)
    check_windows(path)


def restamp(stamp: Callable[[int], float]) -> Callable[[int, av.Packet], None]:
    def change(number: int, packet: av.Packet) -> None:
        packet.pts = packet.dts = round(stamp(number))

    return change


def sawtooth(number: int) -> float:
    """Steps of 960 six times, then 1408, for packets of 1024 samples."""
    return 7168 * (number // 7) + 960 * (number % 7)


def lags(path: Path, gap_s: float = 0.0, gap_at_s: float = 1e9) -> list[float]:
    """Return by how much windows are late, those with a gap in them left out, and check that nothing is missing."""
    found = []
    for start in np.arange(WINDOWS) / WINDOWS * 3.5:
        if start + 0.4 < gap_at_s or start > gap_at_s + gap_s + 0.05:
            clip = one(path, float(start), 0.4, 0, 0.0, RATE_HZ, at_end="pad")
            assert clip.audio_valid == 1.0
            found.append(lag_seconds(clip.audio.numpy(), start - (gap_s if start > gap_at_s else 0.0), RATE_HZ))
    return found


# FFmpeg 8.0 (PyAV 17.0) plays the delay of the encoder that Matroska names, and audio alone then begins with it.
MATROSKA_DELAY_IS_SKIPPED = av.library_versions["libavformat"] >= (62, 12, 0)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_jittered_stamps_cut_no_holes_and_move_nothing(tmp_path: Path, ending: str):
    noise = np.random.default_rng(0).uniform(-300, 300, 1000)
    for stamp in (sawtooth, lambda number: 1024 * number + noise[number] * (number > 0)):
        found = lags(encode(tmp_path / f"a.{ending}", "aac", change=restamp(stamp)))
        assert max(found) - min(found) < 1e-4
        delayed = ending == "mp4" or not MATROSKA_DELAY_IS_SKIPPED
        assert found[0] == pytest.approx(1024 / RATE_HZ if delayed else 0.0, abs=6e-3)


@pytest.mark.parametrize("gap", [1455, 6615])
@pytest.mark.parametrize("jitter", [False, True])
def test_true_gaps_stay_gaps(tmp_path: Path, gap: int, jitter: bool):
    def stamp(number: int) -> float:
        return (sawtooth(number) if jitter else 1024 * number) + (gap if number >= 84 else 0)

    path = encode(tmp_path / "a.mp4", "aac", change=restamp(stamp))
    found = lags(path, gap / RATE_HZ, 84 * 1024 / RATE_HZ)
    assert max(found) - min(found) < 1e-3
    clip = one(path, 1.8, 0.4, 0, 0.0, RATE_HZ, at_end="pad")
    assert clip.audio_valid == pytest.approx(1 - gap / RATE_HZ / 0.4, abs=0.02)


def test_packets_without_stamps_or_durations_stay_where_they_are(tmp_path: Path):
    def sparse(number: int, packet: av.Packet) -> None:
        packet.pts, packet.dts = (packet.pts, packet.dts) if number % 5 == 0 else (None, None)

    found = lags(encode(tmp_path / "a.ts", "aac", change=sparse))
    assert max(found) - min(found) < 1e-4

    def no_duration(number: int, packet: av.Packet) -> None:
        packet.duration = 0

    found = lags(encode(tmp_path / "a.mkv", "aac", change=no_duration))
    assert max(found) - min(found) < 1e-3


CENC = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "11" * 16, "encryption_kid": "22" * 16}


def test_encrypted_streams_are_refused_with_that_cause(tmp_path: Path):
    path = encode(tmp_path / "a.mp4", "aac", **CENC)
    with pytest.raises(UnreadableClip, match="the audio is encrypted; decrypt the file first"):
        one(path, 1.0, 0.5, 0, 0.0, RATE_HZ)
    path = make_media(tmp_path / "b.mp4", seconds=2.0, container_options=CENC)
    with pytest.raises(UnreadableClip, match="the video is encrypted; decrypt the file first"):
        one(path, 1.0, 0.5, 4, 8.0)


def test_the_real_encrypted_file_is_refused_with_that_cause():
    with pytest.raises(UnreadableClip, match="the video is encrypted"):
        one(real("encrypted_cenc.mp4"), 1.0, 0.5, 4, 8.0)


def test_a_stream_without_a_decoder_is_named_with_its_tag(tmp_path: Path):
    path = make_media(tmp_path / "a.mp4", seconds=1.0)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zqzq"))
    cause = "there is a video stream of the codec zqzq, which cannot be decoded"
    with pytest.raises(UnreadableClip, match=cause):
        one(path, 0.0, 0.5, 4, 8.0)
    assert exclusion_cause(probe(str(path)), min_seconds=0.5, needs_audio=True) == cause
    path.write_bytes(path.read_bytes().replace(b"zqzq", b"drmi"))
    with pytest.raises(UnreadableClip, match="the video is encrypted .drmi.; decrypt the file first"):
        one(path, 0.0, 0.5, 4, 8.0)


def test_audio_without_a_known_codec_is_named():
    path = real("missing_stsd.mp4")
    clip = one(path, 0.0, 0.5, 4, 8.0, RATE_HZ)
    assert clip.audio_error == "there is an audio stream of no known codec, which cannot be decoded"
    assert exclusion_cause(probe(str(path)), min_seconds=0.5, needs_audio=True) == clip.audio_error
    assert exclusion_cause(probe(str(path)), min_seconds=0.5, needs_audio=False) == ""
