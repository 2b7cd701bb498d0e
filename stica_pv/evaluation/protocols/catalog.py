"""Registered protocols on frozen features, each built from its keys."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation, create_feature_evaluation
from stica_pv.evaluation.protocols.attentive import Attentive
from stica_pv.evaluation.protocols.attentive_probe import ProbeRecipe
from stica_pv.evaluation.protocols.audio_mlp import AudioMlp, MlpRecipe
from stica_pv.evaluation.protocols.cross_modal import CrossModal
from stica_pv.evaluation.protocols.few_shot import FewShot
from stica_pv.evaluation.protocols.joint import Joint
from stica_pv.evaluation.protocols.linear import Linear
from stica_pv.evaluation.protocols.one_modality import OneModalityProtocol
from stica_pv.evaluation.protocols.requests import request_for_test, request_for_training
from stica_pv.evaluation.protocols.retrieval import Knn, Retrieval
from stica_pv.evaluation.protocols.softmax import SoftmaxRecipe
from stica_pv.evaluation.protocols.svm import Svm
from stica_pv.evaluation.requests import BOTH, MODALITIES
from stica_pv.registry import EVALUATIONS

T = TypeVar("T")

BRAVE_COST = 1e-4


@EVALUATIONS.named("retrieval")
def retrieval(cfg: CfgNode) -> FeatureEvaluation:
    """Build R@k and mAP by cosine similarity."""
    train, test = request_for_training(cfg, average=True), request_for_test(cfg, average=True)
    return _one_or_both(cfg, "retrieval", Retrieval("retrieval", train, test, "cosine"))


@EVALUATIONS.named("retrieval_selavi")
def retrieval_selavi(cfg: CfgNode) -> FeatureEvaluation:
    """Build R@k on max-pooled maps by Euclidean distance, whatever TEST.LAYER is."""
    requests = request_for_training(cfg, average=True), request_for_test(cfg, average=True)
    train, test = (replace(request, layer="map_max") for request in requests)
    protocol = Retrieval("retrieval_selavi", train, test, "euclidean")
    return _one_or_both(cfg, "retrieval_selavi", protocol)


@EVALUATIONS.named("knn")
def knn(cfg: CfgNode) -> FeatureEvaluation:
    """Build the vote of the nearest neighbors by cosine similarity."""
    train, test = request_for_training(cfg, average=True), request_for_test(cfg, average=True)
    protocol = Knn(train, test, k=cfg.TEST.KNN_K, votes=cfg.TEST.KNN_VOTES)
    return _one_or_both(cfg, "knn", protocol)


@EVALUATIONS.named("linear")
def linear(cfg: CfgNode) -> FeatureEvaluation:
    """Build softmax regression on unit vectors with one learning rate: CVRL's recipe by default."""
    return _linear(cfg, "linear", lrs=(), unit_length=True)


@EVALUATIONS.named("linear_plain")
def linear_plain(cfg: CfgNode) -> FeatureEvaluation:
    """Build softmax regression without unit length, with a learning rate chosen by hold-out."""
    return _linear(cfg, "linear_plain", lrs=_values("TEST.LINEAR.LRS", cfg.TEST.LINEAR.LRS), unit_length=False)


@EVALUATIONS.named("attentive")
def attentive(cfg: CfgNode) -> FeatureEvaluation:
    """Build an attentive probe on tokens, whatever TEST.LAYER is."""
    keys = cfg.TEST.ATTENTIVE
    requests = request_for_training(cfg, average=False), request_for_test(cfg, average=False)
    train, test = (replace(request, layer="tokens") for request in requests)
    recipe = ProbeRecipe(depth=keys.DEPTH, heads=keys.HEADS, epochs=keys.EPOCHS, batch_size=keys.BATCH_SIZE)
    protocol = Attentive(
        train,
        test,
        MODALITIES if cfg.TEST.MODALITY == BOTH else (test.modality,),
        recipe,
        lrs=_values("TEST.ATTENTIVE.LRS", keys.LRS),
        weight_decays=_values("TEST.ATTENTIVE.WEIGHT_DECAYS", keys.WEIGHT_DECAYS),
        holdout_share=cfg.TEST.HOLDOUT_SHARE,
        device=_device(cfg),
    )
    return create_feature_evaluation(cfg, "attentive", protocol)


@EVALUATIONS.named("few_shot")
def few_shot(cfg: CfgNode) -> FeatureEvaluation:
    """Build linear classifiers on a few items per class."""
    keys = cfg.TEST.FEW_SHOT
    protocol = FewShot(
        request_for_training(cfg, average=True),
        request_for_test(cfg, average=True),
        shots=_values("TEST.FEW_SHOT.SHOTS", keys.SHOTS),
        draws=keys.DRAWS,
        classifier=keys.CLASSIFIER,
        cost=keys.C,
    )
    return _one_or_both(cfg, "few_shot", protocol)


@EVALUATIONS.named("svm")
def svm(cfg: CfgNode) -> FeatureEvaluation:
    """Build a linear SVM with a C chosen by hold-out."""
    costs = _values("TEST.SVM.C", cfg.TEST.SVM.C)
    return _svm(cfg, "svm", costs=costs, standardize=cfg.TEST.SVM.STANDARDIZE)


@EVALUATIONS.named("svm_brave")
def svm_brave(cfg: CfgNode) -> FeatureEvaluation:
    """Build a linear SVM with the C of BraVe, whatever TEST.SVM says."""
    return _svm(cfg, "svm_brave", costs=(BRAVE_COST,), standardize=True)


@EVALUATIONS.named("audio_mlp")
def audio_mlp(cfg: CfgNode) -> FeatureEvaluation:
    """Build a multi-label MLP on audio, whatever TEST.MODALITY is."""
    keys = cfg.TEST.AUDIO_MLP
    requests = request_for_training(cfg, average=False), request_for_test(cfg, average=False)
    train, test = (replace(request, modality="audio") for request in requests)
    recipe = MlpRecipe(
        hidden=keys.HIDDEN_DIM,
        lr=keys.LR,
        batch_size=keys.BATCH_SIZE,
        epochs=keys.EPOCHS,
        weight_decay=keys.WEIGHT_DECAY,
    )
    return create_feature_evaluation(cfg, "audio_mlp", AudioMlp(train, test, recipe, _device(cfg)))


@EVALUATIONS.named("cross_modal")
def cross_modal(cfg: CfgNode) -> FeatureEvaluation:
    """Build retrieval between audio and video, projected, whatever TEST.LAYER and TEST.MODALITY are."""
    protocol = CrossModal(cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.TEST.TRANSFORM)
    return create_feature_evaluation(cfg, "cross_modal", protocol)


def _one_or_both(cfg: CfgNode, name: str, protocol: OneModalityProtocol) -> FeatureEvaluation:
    """Build the evaluation of a protocol on the modality, or the modalities, of TEST.MODALITY."""
    return create_feature_evaluation(cfg, name, Joint(protocol) if cfg.TEST.MODALITY == BOTH else protocol)


def _linear(cfg: CfgNode, name: str, *, lrs: tuple[float, ...], unit_length: bool) -> FeatureEvaluation:
    keys = cfg.TEST.LINEAR
    recipe = SoftmaxRecipe(lr=keys.LR, batch_size=keys.BATCH_SIZE, epochs=keys.EPOCHS, weight_decay=keys.WEIGHT_DECAY)
    protocol = Linear(
        name,
        request_for_training(cfg, average=False),
        request_for_test(cfg, average=False),
        recipe,
        unit_length=unit_length,
        lrs=lrs,
        holdout_share=cfg.TEST.HOLDOUT_SHARE,
        device=_device(cfg),
    )
    return _one_or_both(cfg, name, protocol)


def _svm(cfg: CfgNode, name: str, *, costs: tuple[float, ...], standardize: bool) -> FeatureEvaluation:
    protocol = Svm(
        name,
        request_for_training(cfg, average=False),
        request_for_test(cfg, average=False),
        costs=costs,
        standardize=standardize,
        holdout_share=cfg.TEST.HOLDOUT_SHARE,
    )
    return _one_or_both(cfg, name, protocol)


def _values(key: str, values: Sequence[T]) -> tuple[T, ...]:
    if not values:
        raise UsageError(f"{key}: expected at least one value, got []")
    return tuple(values)


def _device(cfg: CfgNode) -> torch.device:
    """Return the device of classifiers; one is enough, as they are small."""
    return torch.device("cuda" if cfg.NUM_GPUS != 0 and torch.cuda.is_available() else "cpu")
