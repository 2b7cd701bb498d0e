"""Renders frames and audio of a generated clip from its plan."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from stica_pv.data.synthetic.plan import ClipPlan, Event, Floats, ObjectPlan, SyntheticSettings, sample_plan

_FADE = 0.2  # share of the size range in which an object fades in or out


def render_plan(plan: ClipPlan, settings: SyntheticSettings) -> tuple[NDArray[np.uint8], Floats]:
    """Return the frames, uint8 (T, H, W, 3), and the audio, float32 (S,) in [-1, 1], of a plan."""
    noise = np.random.default_rng(plan.seed)
    return _frames(plan, settings, noise), _audio(plan, settings, noise)


def render_clip(
    label: int, rng: torch.Generator, settings: SyntheticSettings | None = None
) -> tuple[NDArray[np.uint8], Floats]:
    """Sample and render a clip of class `label`: frames uint8 (T, H, W, 3), audio float32 (S,) in [-1, 1]."""
    settings = settings or SyntheticSettings()
    return render_plan(sample_plan(label, rng, settings), settings)


def _travel(events: tuple[Event, ...], forward: str, backward: str, times: Floats) -> Floats:
    """Return the distance traveled at each time (T,): positive for forward events, negative for backward events."""
    total = np.zeros_like(times)
    for event in events:
        sign = {forward: 1.0, backward: -1.0}.get(event.name, 0.0)
        since = np.clip(times, event.start_s, event.stop_s) - np.float32(event.start_s)
        total += np.float32(sign * event.rate) * since
    return total


def _frames(plan: ClipPlan, s: SyntheticSettings, noise: np.random.Generator) -> NDArray[np.uint8]:
    times: Floats = ((np.arange(s.frames) + 0.5) / s.fps).astype(np.float32)
    rise, growth = _travel(plan.events, "up", "down", times), _travel(plan.events, "grow", "shrink", times)
    grid: Floats = ((np.arange(s.size) + 0.5) / s.size).astype(np.float32)
    ramp = np.float32(0.5) + np.float32(0.5) * np.sin(
        plan.octaves * 4 * grid[:, None] + plan.loudness_db * grid + plan.pitch_hz
    )
    canvas = np.empty((s.frames, s.size, s.size, 3), np.float32)
    canvas[:] = plan.background[0] + ramp[..., None] * (plan.background[1] - plan.background[0])
    for item in plan.objects:
        x, y, start = item.start
        scale = np.mod(start + growth, 1.0)
        _paint(canvas, item, grid, x, np.mod(y - rise, 1.0), scale, s)
    canvas += noise.standard_normal(canvas.shape, np.float32) * np.float32(plan.image_noise)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _paint(
    canvas: Floats, item: ObjectPlan, grid: Floats, x: float, y: Floats, scale: Floats, s: SyntheticSettings
) -> None:
    """Blend an object into (T, H, W, 3) at height y (T,) and relative size scale (T,) in [0, 1)."""
    radius = (s.radius[0] * (s.radius[1] / s.radius[0]) ** scale)[:, None, None]
    across = (np.mod(grid - x + 0.5, 1.0) - 0.5)[None, None, :] / radius
    down = (np.mod(grid - y[:, None] + 0.5, 1.0) - 0.5)[:, :, None] / radius
    cos, sin = np.float32(np.cos(item.angle)), np.float32(np.sin(item.angle))
    a, b = cos * across + sin * down, cos * down - sin * across
    if item.norm == 0:
        reach = np.maximum(np.abs(a), np.abs(b))
    else:
        reach = np.abs(a) + np.abs(b) if item.norm == 1 else np.sqrt(a * a + b * b)
    fade = np.clip(np.minimum(scale, 1 - scale) / _FADE, 0, 1)[:, None, None]
    alpha = np.clip((1 - reach) * radius * s.size, 0, 1) * fade
    stripe = np.float32(0.5) + np.float32(0.5) * np.sin(item.stripes[0] * a + item.stripes[1])
    for channel in range(3):
        low, high = item.colors[:, channel]
        layer = canvas[..., channel]
        layer += alpha * (low + stripe * (high - low) - layer)


def _audio(plan: ClipPlan, s: SyntheticSettings, noise: np.random.Generator) -> Floats:
    audio = np.zeros(s.samples, np.float64)
    for event in plan.audio_events:
        first, last = round(event.start_s * s.audio_rate_hz), round(event.stop_s * s.audio_rate_hz)
        audio[first:last] = _event_audio(event, plan, noise.standard_normal(last - first), s.audio_rate_hz)
    audio += noise.standard_normal(s.samples) * 0.5 * 10 ** (plan.audio_noise_db / 20)
    return np.clip(audio * 10 ** (plan.loudness_db / 20), -1, 1).astype(np.float32)


def _event_audio(event: Event, plan: ClipPlan, hiss: NDArray[Any], rate_hz: int) -> NDArray[Any]:
    """Return float64 (samples,): glides up or down for movement, swells or dying tones for changes of size."""
    samples = len(hiss)
    phase = np.mod(event.cycles * np.arange(samples) / samples, 1.0)
    if event.name in ("down", "shrink"):
        phase = 1.0 - phase
    if event.name in ("up", "down"):
        pitch, envelope = plan.pitch_hz * 2 ** (plan.octaves * (phase - 0.5)), np.sqrt(np.sin(np.pi * phase).clip(0))
    else:
        pitch, envelope = np.full(samples, plan.pitch_hz), phase**2
    turns = 2 * np.pi * np.cumsum(pitch) / rate_hz
    tones = np.sum([weight * np.sin((1 + i) * turns) for i, weight in enumerate(plan.harmonics)], axis=0)
    tones = tones / sum(plan.harmonics)
    if event.name in ("grow", "shrink"):
        tones = 0.4 * tones + 0.3 * hiss
    sounding: NDArray[Any] = envelope * tones
    return sounding
