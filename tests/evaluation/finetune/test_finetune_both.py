"""Fine-tuning of the video and the audio network together, beside that of the video network alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from colored_clips import TEST, TRAIN, colored_cfg, colored_context, labeled_set
from tiny_clips import make_clip

from stica_pv.engine import load_checkpoint
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.errors import UsageError
from stica_pv.evaluation.finetune.finetune import finetune_from_config
from stica_pv.evaluation.finetune.fold import create_classification
from stica_pv.evaluation.finetune.recipe import training_config
from stica_pv.evaluation.views import views_of
from stica_pv.models import create_audio_resnet9
from stica_pv.structures import SampleKey
from stica_pv.tasks.encoders import AudioEncoder
from stica_pv.transforms import create_log_mel

SHORT: dict[str, Any] = {
    "TEST__FINETUNE__EPOCHS": 1,
    "TEST__FINETUNE__TEST_FROM_EPOCH": 1,
    "TEST__FINETUNE__LR_STEPS": "[1]",
    "TEST__FINETUNE__WARMUP_EPOCHS": 0,
    "TEST__FINETUNE__TEST_CLIPS": 2,
    "TEST__MODALITY": "video+audio",
}


def test_both_are_trained_and_scored_on_the_appended_vectors(tmp_path: Path):
    paths = [str(make_clip(tmp_path / f"clip{i:02}.mp4", i % 3)) for i in range(TRAIN + TEST)]
    cfg = colored_cfg(tmp_path, tmp_path / "out", **SHORT)
    context = colored_context(cfg, labeled_set(paths))
    torch.manual_seed(0)
    audio = AudioEncoder(create_log_mel(sample_rate_hz=8000, bands=16, fft_size=512), create_audio_resnet9(width=4))
    network = (("AUDIO.WIDTH", 4),)
    model = replace(
        context.models[0],
        encoders={**context.models[0].encoders, "audio": audio.requires_grad_(False)},
        audio_network=network,
    )
    context.models = [model]
    evaluation = finetune_from_config(cfg)
    rows = evaluation.run(context)
    part = "top1 (last epoch)"
    assert {f"video {part}", f"both {part}"} <= {row.metric for row in rows}
    assert all("video+audio, vectors appended" in row.protocol for row in rows)
    configs = {f: yaml.safe_load((f / "config.yaml").read_text()) for f in (tmp_path / "out").glob("finetune/*/fold1")}
    (fold,) = (f for f, config in configs.items() if config["CLASSIFICATION"].get("MODALITY") == "video+audio")
    content = load_checkpoint(list_checkpoints(fold)[-1])
    clips = replace(model.clip_format, size=32, train_size=32)
    run = training_config(cfg, classes=3, clip_format=clips, networks=network, modality="video+audio")
    task = create_classification(run, model, evaluation.settings)
    fresh = {name: value.clone() for name, value in task.audio.tower.state_dict().items()}  # type: ignore[union-attr]
    task.load_state_dict(content["model"])
    task.eval()
    trained = task.audio.tower.state_dict()  # type: ignore[union-attr]
    assert any(not torch.equal(fresh[name], trained[name]) for name in fresh if name.endswith("weight"))
    request = evaluation.settings.request
    frames, waveforms = (
        context.dataset(views_of(replace(request, modality=name), clips), name, clips)[SampleKey(0, TRAIN)]
        for name in ("video", "audio")
    )
    logits = []
    with torch.no_grad():
        for number, video in enumerate(frames.video.values()):
            waveform = list(waveforms.audio.values())[number // 3]
            encoded = task.encoders()
            vector = torch.cat([encoded["video"](video[None]), encoded["audio"](waveform[None])], dim=1)
            logits.append(task.classifier(vector)[0])
    assert len(logits) == 6
    scores = torch.load(fold / "scores_epoch_0001.pt", weights_only=True)
    torch.testing.assert_close(scores[0], torch.stack(logits).mean(dim=0), atol=1e-4, rtol=1e-4)
    found = create_task(as_trained(cfg, content))
    assert set(found.encoders()) == {"video", "audio"}  # the checkpoint describes itself


def test_audio_alone_is_refused(tmp_path: Path):
    cfg = colored_cfg(tmp_path, tmp_path, **{**SHORT, "TEST__MODALITY": "audio"})
    with pytest.raises(UsageError, match=r"finetune trains the video network.*TEST.MODALITY is audio: set it to video"):
        finetune_from_config(cfg)
