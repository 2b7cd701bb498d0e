"""Images and audio inside a page, as data URIs."""

import base64
import io
import wave

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from stica_pv.report.page import fragment

Pixels = NDArray[np.uint8]


def data_uri(content: bytes, kind: str) -> str:
    """Return content as a URI, for a MIME type such as ``image/png``."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def png_image(pixels: Pixels, alt: str, *, width: int | None = None) -> Markup:
    """Embed an image without loss.

    Args:
        pixels: uint8 (H, W, 3), or (H, W) of grays.
        alt: Description of the image.
        width: Width on the page in CSS pixels; None: its own, at most the width of the page.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    width = width or pixels.shape[1]
    height = round(width * pixels.shape[0] / pixels.shape[1])
    source = data_uri(file.getvalue(), "image/png")
    return fragment("image.html", source=source, alt=alt, width=width, height=height)


def audio(waveform: NDArray[np.floating], rate_hz: int, label: str) -> Markup:
    """Embed audio with controls.

    Args:
        waveform: (S,), mono, clipped to [-1, 1].
        rate_hz: Sample rate.
        label: Description of the audio.
    """
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(waveform, -1, 1) * 32767).astype("<i2").tobytes())
    return fragment("audio.html", source=data_uri(file.getvalue(), "audio/wav"), label=label)
