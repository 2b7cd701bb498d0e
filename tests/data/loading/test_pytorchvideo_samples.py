from pathlib import Path

import stica_pv.compat  # noqa: F401 - repairs torchvision for pytorchvideo

import pytest
import torch
from attempts import CONTEXT
from made_media import make_media, sweep
from pytorchvideo.data import LabeledVideoDataset, make_clip_sampler
from torch.utils.data import DataLoader, SequentialSampler

from stica_pv.data.loading.pytorchvideo_samples import SampleAudio, SampleTransform, collate_samples
from stica_pv.errors import UsageError
from stica_pv.models import create_audio_resnet9, create_r2plus1d_10, create_transformer_pool
from stica_pv.tasks.encoders import AudioEncoder, VideoEncoder
from stica_pv.transforms import FixedCrop, RandomResizedCrop, apply_box, create_log_mel

RATE_HZ = 16000
AUDIO = SampleAudio(seconds=1.0, rate_hz=RATE_HZ, file_rate_hz=44100)
CENTER = FixedCrop(short_side=4)


def clip(frames: int = 10, side: int = 8) -> torch.Tensor:
    return torch.arange(frames).view(1, -1, 1, 1).expand(3, -1, side, side + 2).float()


def sample(**others: object) -> dict[str, object]:
    return {"video": clip(), "label": 3, "video_name": "a.mp4", **others}


def test_frames_stand_where_a_view_of_the_clip_would_have_them():
    found = SampleTransform(frames=4, size=4, crop=CENTER)(sample())
    assert found["video"].dtype == torch.uint8
    assert found["video"].shape == (3, 4, 4, 4)
    assert found["video"][0, :, 0, 0].tolist() == [0, 2, 5, 7]  # of a clip of 10, at 0, 1/4, 1/2 and 3/4
    assert (found["label"], found["video_name"]) == (3, "a.mp4")


@pytest.mark.parametrize("frames", [1, 10, 16])
def test_more_frames_than_the_clip_has_repeat_some(frames: int):
    found = SampleTransform(frames=frames, size=4, crop=CENTER)(sample())
    assert found["video"].shape[1] == frames


def test_float_and_uint8_video_give_the_same_crop():
    video = torch.randint(0, 256, (3, 4, 9, 12), dtype=torch.uint8)
    transform = SampleTransform(frames=4, size=4, crop=FixedCrop(short_side=6))
    both = [transform(sample(video=kind))["video"] for kind in (video, video.float())]
    assert torch.equal(*both)  # exact: integers
    # exact: integers
    assert torch.equal(both[0], apply_box(video, FixedCrop(6).sample_box(9, 12, 4, torch.Generator()), 4, True))


def test_draws_follow_torchs_own_seed():
    transform = SampleTransform(frames=2, size=4, crop=RandomResizedCrop())
    video = torch.randint(0, 256, (3, 2, 30, 40), dtype=torch.uint8)
    crops = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        crops.append(transform(sample(video=video))["video"])
    assert torch.equal(crops[0], crops[1])  # exact: integers
    assert not torch.equal(crops[0], crops[2])


@pytest.mark.parametrize(
    "video",
    [clip() / 255, clip() - 5, clip().long(), clip()[0], clip()[:, :0]],
    ids=["scaled", "shifted", "int64", "3d", "empty"],
)
def test_video_that_is_not_0_to_255_is_refused(video: torch.Tensor):
    with pytest.raises(UsageError, match="video of a sample: expected"):
        SampleTransform(frames=4, size=4, crop=CENTER)(sample(video=video))


@pytest.mark.parametrize(("given", "valid"), [(30000, 30000 / 44100), (44100, 1.0), (50000, 1.0)])
def test_audio_gets_its_length_and_says_how_much_is_real(given: int, valid: float):
    times = torch.arange(given, dtype=torch.float64).numpy() / 44100
    audio, share = AUDIO.fit(torch.from_numpy(sweep(times)))
    truth = torch.from_numpy(sweep(torch.arange(RATE_HZ, dtype=torch.float64).numpy() / RATE_HZ))
    real = round(valid * RATE_HZ)
    assert audio.shape == (RATE_HZ,)
    assert share == pytest.approx(valid, abs=1e-4)
    assert (audio[100 : real - 100] - truth[100 : real - 100]).abs().max() < 0.01
    assert audio[real + 1 :].abs().sum() == 0


@pytest.mark.parametrize("audio", [None, torch.zeros(0)])
def test_absent_audio_is_silence(audio: torch.Tensor | None):
    found = SampleTransform(frames=4, size=4, crop=CENTER, audio=AUDIO)(sample(audio=audio))
    assert found["audio_valid"] == 0.0
    assert torch.equal(found["audio"], torch.zeros(RATE_HZ))  # exact: copied, not calculated


def test_interleaved_channels_are_averaged_and_integers_scaled():
    left, right = torch.randint(-20000, 20000, (2, 100)).float()
    audio = SampleAudio(seconds=0.1, rate_hz=1000, file_rate_hz=1000, packed_channels=2)
    samples, valid = audio.fit(torch.stack([left, right], dim=1).flatten())
    assert valid == 1.0
    assert torch.allclose(samples, (left + right) / 2 / 2**15)


def test_planar_integers_are_scaled():
    audio = SampleAudio(seconds=0.1, rate_hz=1000, file_rate_hz=1000)
    assert torch.allclose(audio.fit(torch.arange(100) * 0.5)[0], torch.arange(100) / 2**16)
    assert torch.allclose(audio.fit(torch.full((100,), 2.0**30))[0], torch.full((100,), 0.5))


def test_audio_that_looks_interleaved_is_refused_until_its_channels_are_stated():
    audio = SampleAudio(seconds=0.1, rate_hz=1000, file_rate_hz=1000)
    with pytest.raises(UsageError, match="200 integer samples for 0.1 s at 1000 Hz look like .* packed_channels"):
        audio.fit(torch.arange(200).float())


def test_the_rate_with_a_label_takes_precedence_over_the_common_one():
    audio = torch.sin(torch.arange(8000) / 10)
    found = SampleTransform(4, 4, CENTER, AUDIO)(sample(audio=audio, audio_rate_hz=8000))
    assert found["audio_valid"] == 1.0
    assert found["audio_rate_hz"] == 8000


def test_without_audio_settings_audio_is_removed():
    assert "audio" not in SampleTransform(4, 4, CENTER)(sample(audio=torch.zeros(5)))


def test_collate_fills_up_short_and_absent_audio():
    tracks = [torch.ones(4), None, torch.ones(2), torch.zeros(0)]
    batch = collate_samples([sample(audio=track) if track is not None else sample() for track in tracks])
    assert batch["audio"].tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    assert batch["audio_valid"].tolist() == [1.0, 0.0, 0.5, 0.0]
    assert batch["label"].tolist() == [3, 3, 3, 3]
    assert batch["video_name"] == ["a.mp4"] * 4
    assert batch["video"].shape == (4, 3, 10, 8, 10)


def test_collate_keeps_the_validity_of_a_transform():
    rows = [sample(audio=torch.ones(4), audio_valid=share) for share in (0.25, 1.0)]
    assert collate_samples(rows)["audio_valid"].tolist() == [0.25, 1.0]


def test_collate_without_any_audio_has_none_and_unknown_labels_stay_a_list():
    batch = collate_samples([sample(label=None), sample()])
    assert "audio" not in batch
    assert batch["label"] == [None, 3]


def test_collate_of_clips_of_unequal_size_names_the_transform():
    with pytest.raises(UsageError, match="'video' differs within a batch: .*SampleTransform"):
        collate_samples([sample(), sample(video=clip(9))])


def encoders() -> tuple[VideoEncoder, AudioEncoder]:
    video = VideoEncoder(create_r2plus1d_10(width=4), create_transformer_pool(in_channels=32), (0.5,) * 3, (0.2,) * 3)
    log_mel = create_log_mel(sample_rate_hz=RATE_HZ, bands=16, fft_size=512)
    return video.eval(), AudioEncoder(log_mel, create_audio_resnet9(width=4)).eval()


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, int]]]:
    """With audio, without, with audio that ends early, with interleaved PCM of another rate."""
    folder: Path = tmp_path_factory.mktemp("labeled")
    kinds = {
        "audio.mp4": {},
        "silent.mp4": {"audio": None},
        "short.mp4": {"audio_seconds": 0.6},
        "mono.mov": {"audio": "pcm_s16le", "layout": "mono", "rate_hz": 22050},
    }
    files = [make_media(folder / name, seconds=1.5, **kind) for name, kind in kinds.items()]
    rates = [44100, 44100, 44100, 22050]
    return [(str(f), {"label": i, "audio_rate_hz": rates[i]}) for i, f in enumerate(files)]


@pytest.mark.parametrize(("decode_audio", "workers"), [(True, 2), (False, 0)])
def test_pytorchvideos_data_set_gives_batches_that_our_encoders_accept(labeled, decode_audio: bool, workers: int):
    dataset = LabeledVideoDataset(
        labeled,
        make_clip_sampler("constant_clips_per_video", 1.0, 1),
        video_sampler=SequentialSampler,
        transform=SampleTransform(frames=4, size=32, crop=RandomResizedCrop(), audio=AUDIO),
        decode_audio=decode_audio,
    )
    # A forked worker hangs in pytorchvideo's decoder, whose threads it lacks: seen with PyAV 19.
    context = CONTEXT if workers else None
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=workers,
        collate_fn=collate_samples,
        multiprocessing_context=context,
        timeout=120 * bool(workers),
    )
    batches = list(loader)
    order = torch.cat([batch["label"] for batch in batches])
    valid = torch.cat([batch["audio_valid"] for batch in batches])[order.argsort()]
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    expected = [1.0, 0.0, 0.6, 1.0] if decode_audio else [0.0] * 4
    assert valid.tolist() == pytest.approx(expected, abs=0.08)  # its reader cuts at whole frames of audio
    video, audio = encoders()
    for batch in batches:
        assert batch["video"].shape == (2, 3, 4, 32, 32)
        assert batch["audio"].shape == (2, RATE_HZ)
        assert video(batch["video"]).shape == (2, 32)
        assert audio(batch["audio"]).shape == (2, 32)
