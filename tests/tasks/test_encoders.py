import pytest
import torch
from tiny_task import AUDIO_RATE_HZ, CHANNELS, create_trunk
from torch import nn

from stica_pv.models import AveragePool, create_audio_resnet9, create_projection_head
from stica_pv.tasks import AudioEncoder, VideoEncoder
from stica_pv.tasks.encoders import layers_of, run_layers
from stica_pv.transforms import create_log_mel

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture
def video_encoder() -> VideoEncoder:
    return VideoEncoder(create_trunk(), AveragePool(CHANNELS), MEAN, STD).eval()


def test_bytes_are_normalised_per_channel_and_floats_taken_as_they_are(video_encoder: VideoEncoder) -> None:
    video = torch.randint(0, 256, (2, 3, 8, 28, 28), dtype=torch.uint8)
    by_hand = torch.stack([(video[:, c] / 255 - MEAN[c]) / STD[c] for c in range(3)], dim=1)
    with torch.no_grad():
        assert torch.allclose(video_encoder(video), video_encoder(by_hand), atol=1e-6)
        assert not torch.allclose(video_encoder(video), video_encoder(video / 255), atol=1e-2)


def test_bytes_that_come_channels_last_reach_the_trunk_as_others_do(video_encoder: VideoEncoder) -> None:
    video = torch.randint(0, 256, (2, 3, 8, 28, 28), dtype=torch.uint8)
    received: list[torch.Tensor] = []
    video_encoder.backbone.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0]))
    with torch.no_grad():
        for given in (video, video.contiguous(memory_format=torch.channels_last_3d)):
            video_encoder(given)
    assert received[1].is_contiguous()
    torch.testing.assert_close(*received, rtol=0, atol=1e-5)  # other memory, other vectors


@pytest.mark.parametrize("batch", [1, 3])
def test_layers_are_the_map_and_the_pooled_vector(video_encoder: VideoEncoder, batch: int) -> None:
    video = torch.randn(batch, 3, 9, 32, 28)
    with torch.no_grad():
        feature_map = video_encoder(video, layer="map")
        assert feature_map.shape == (batch, CHANNELS, 4, 8, 7)
        # exact: the same code with the same shapes, twice
        assert torch.equal(feature_map, video_encoder.backbone(video))
        # exact: the same code with the same shapes, twice
        assert torch.equal(video_encoder(video), video_encoder.pool(feature_map))
        assert video_encoder(video).shape == (batch, CHANNELS)


def test_normalisation_is_no_part_of_the_weights(video_encoder: VideoEncoder) -> None:
    assert {name.split(".")[0] for name in video_encoder.state_dict()} == {"backbone"}


@pytest.mark.parametrize("samples", [800, 4000])
def test_audio_encoder_is_the_tower_on_the_spectrogram(samples: int) -> None:
    log_mel = create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=16, fft_size=512)
    encoder = AudioEncoder(log_mel, create_audio_resnet9(width=2)).eval()
    waveform = torch.rand(1, samples) * 2 - 1
    with torch.no_grad():
        assert encoder(waveform).shape == (1, 16)
        # exact: the same code with the same shapes, twice
        assert torch.equal(encoder(waveform), encoder.tower(log_mel(waveform)))


def test_the_projected_layer_is_the_head_on_the_pooled_vector_and_all_come_from_one_pass():
    head = create_projection_head(in_dim=CHANNELS, hidden_dim=6, out_dim=5, dropout=0.5)
    encoder = VideoEncoder(create_trunk(), AveragePool(CHANNELS), MEAN, STD, head).eval()
    video = torch.randn(2, 3, 8, 28, 28)
    passes: list[int] = []
    encoder.backbone.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        found = encoder.layers(video, ["map", "pooled", "projected"])
        assert len(passes) == 1
        # exact: the same code with the same shapes, twice
        assert torch.equal(found["pooled"], encoder.pool(found["map"]))
        # exact: the same code with the same shapes, twice
        assert torch.equal(found["projected"], head(found["pooled"].unsqueeze(0))[0])
        assert encoder.layers(video, ["map"]).keys() == {"map"}
    assert encoder.offers == ("map", "pooled", "projected")


def test_what_was_not_built_is_not_offered(video_encoder: VideoEncoder):
    assert video_encoder.offers == ("map", "pooled")
    with pytest.raises(ValueError, match="no projection head"):
        video_encoder(torch.randn(1, 3, 8, 28, 28), layer="projected")


def test_audio_has_a_map_a_vector_and_an_embedding():
    log_mel = create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=16, fft_size=512)
    head = create_projection_head(in_dim=16, hidden_dim=6, out_dim=5)
    encoder = AudioEncoder(log_mel, create_audio_resnet9(width=2), head).eval()
    with torch.no_grad():
        found = encoder.layers(torch.rand(2, 4000) * 2 - 1, encoder.offers)
    assert {name: tuple(value.shape[:2]) for name, value in found.items()} == {
        "map": (2, 16), "pooled": (2, 16), "projected": (2, 5),
    }  # fmt: skip
    assert torch.allclose(found["map"].mean(dim=(2, 3)), found["pooled"], atol=1e-6)
    # exact: the same code with the same shapes, twice
    assert torch.equal(found["projected"], head(found["pooled"].unsqueeze(0))[0])


def test_a_tower_without_a_map_offers_none_and_any_module_offers_its_vector():
    plain = nn.Flatten()
    assert AudioEncoder(nn.Identity(), plain).offers == ("pooled",)
    assert layers_of(plain) == ("pooled",)
    # exact: copied, not calculated
    assert torch.equal(run_layers(plain, torch.ones(2, 3), ["pooled"])["pooled"], torch.ones(2, 3))
