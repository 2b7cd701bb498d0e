"""Files open with the PyAV that is installed and with each supported version."""

from pathlib import Path

import av
import pytest
from made_media import make_media
from reading import one

from stica_pv.data.decoding.container import open_container
from stica_pv.data.decoding.pyav import OPEN_OPTIONS, decoder_delay, open_options


@pytest.mark.parametrize("version", ["19.0.2", "20.0.0rc1"])
def test_pyav_from_19_on_gets_no_argument_that_it_lacks(version: str):
    assert open_options(version) == {}


@pytest.mark.parametrize("version", ["18.1.0", "18.1.1"])
def test_pyav_before_19_replaces_broken_metadata(version: str):
    assert open_options(version) == {"metadata_errors": "replace"}


def test_a_file_is_read_with_the_installed_pyav_whatever_its_metadata_are(tmp_path: Path):
    whole = make_media(tmp_path / "a.mp4", seconds=0.4)
    plain, odd = tmp_path / "titled.mkv", tmp_path / "odd.mkv"
    with av.open(str(whole)) as source, av.open(str(plain), "w") as target:
        target.metadata["title"] = "a title in Latin 1"
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    odd.write_bytes(plain.read_bytes().replace(b"a title", b"\xe0 title"))
    with open_container(str(odd)) as container:
        assert container.metadata["title"].endswith(" title in Latin 1")
    clip = one(odd, 0.0, 0.4, 2, 5.0, 16000)
    assert clip.frames.shape[:2] == (3, 2)
    assert clip.audio_valid > 0.9


def test_a_pyav_that_lacks_the_argument_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = make_media(tmp_path / "a.mp4", seconds=0.4)
    original = av.open

    def open_of_19(file: str, mode: str = "r") -> av.container.InputContainer:
        return original(file, mode)

    monkeypatch.setattr(av, "open", open_of_19)
    monkeypatch.setattr("stica_pv.data.decoding.container.OPEN_OPTIONS", open_options("19.0.2"))
    assert one(path, 0.0, 0.2, 1, 5.0).frames.shape[1] == 1
    assert open_options(av.__version__) == OPEN_OPTIONS


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "libopus"), ("mp4", "aac"), ("mov", "pcm_s16le")])
def test_the_delay_is_what_a_decoder_drops_where_it_begins(tmp_path: Path, ending: str, codec: str):
    path = make_media(tmp_path / f"a.{ending}", video=None, audio=codec, rate_hz=48000)
    with open_container(str(path)) as container:
        stream = container.streams.audio[0]
        delay_s = decoder_delay(stream.codec_context) / 48000
        container.seek(int(2.0 / stream.time_base), stream=stream)
        packets = [packet for packet in container.demux(stream) if packet.size]
        frames = [frame for packet in packets for frame in stream.codec_context.decode(packet)]
        late_s = float((frames[0].pts - packets[0].pts) * stream.time_base)
    assert late_s == pytest.approx(delay_s, abs=1e-6)
