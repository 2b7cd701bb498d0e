import base64
import io
import re
import wave

import numpy as np
from markupsafe import Markup
from PIL import Image

from stica_pv.report.media import audio, png_image

RNG = np.random.default_rng(0)
CLIP = RNG.integers(0, 255, (3, 12, 20, 3), dtype=np.uint8)


def content(html: Markup, kind: str) -> io.BytesIO:
    found = re.search(rf'src="data:{kind};base64,([^"]+)"', html)
    assert found is not None
    return io.BytesIO(base64.b64decode(found[1]))


def test_a_frame_comes_back_pixel_by_pixel():
    html = png_image(CLIP[0], 'a "b"', width=40)
    assert np.array_equal(np.asarray(Image.open(content(html, "image/png"))), CLIP[0])  # exact: copied, not calculated
    assert 'width="40" height="24"' in html
    assert 'alt="a &#34;b&#34;"' in html


def test_greys_come_back_too():
    # exact: copied, not calculated
    assert np.array_equal(
        np.asarray(Image.open(content(png_image(CLIP[0, :, :, 0], "g"), "image/png"))), CLIP[0, :, :, 0]
    )


def test_a_audio_comes_back_sample_by_sample_and_loud_ones_are_clipped():
    waveform = np.array([0.0, 0.5, -0.5, 3.0, -3.0])
    with wave.open(content(audio(waveform, 16000, "tone"), "audio/wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (16000, 1)
        samples = np.frombuffer(file.readframes(9), "<i2")
    assert samples.tolist() == [0, 16383, -16383, 32767, -32767]
