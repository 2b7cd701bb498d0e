"""Make a checkpoint of this package from foreign weights: self-describing, so that evaluation needs the file alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stica_pv.config import CfgNode, with_keys
from stica_pv.credentials import without_credentials
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import as_trained, create_task
from stica_pv.engine.checkpoint import FORMAT, Checkpoint
from stica_pv.errors import UsageError
from stica_pv.exchange.described import HEADER, header_of
from stica_pv.exchange.reference import GUESS, is_guess, is_reference, reference_settings
from stica_pv.transforms.config import normalization_is_chosen
from stica_pv.weights import Match, WeightsFile, best_layout, layout_named, match
from stica_pv.weights.layouts import GDT
from stica_pv.weights.trunk import AUTO

TRUNK = "backbone"


@dataclass(frozen=True)
class Conversion:
    """A converted file.

    Attributes:
        checkpoint: Content for `torch.save`.
        found: Comparison with the networks.
        random_parts: Parts of the task that the file does not hold; they have the initial weights of the seed.
        skipped: Entries of the file that hold objects of its program.
    """

    checkpoint: Checkpoint
    found: Match
    random_parts: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def report(self) -> str:
        """What matched, and what did not."""
        lines = [self.found.report()]
        if self.random_parts:
            lines.append(f"  not in the file, initial weights instead: {', '.join(self.random_parts)}")
        if self.skipped:
            lines.append(f"  left out, objects of the program that wrote the file: {', '.join(self.skipped)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Implied:
    """What a file asks of the configuration; what a person sets comes after it.

    Attributes:
        recipe: File of settings that its networks were made with, or come nearest to.
        settings: Keys and values.
        guess: Guessed settings, and how to set others; empty: none.
    """

    recipe: str
    settings: dict[str, Any]
    guess: str = ""


def implied_by(weights: WeightsFile, layout: str, method: str = "") -> Implied:
    """Which configuration a file asks for.

    Args:
        weights: The file.
        layout: A name of `stica_pv.weights.LAYOUTS`, or ``auto``.
        method: ``stica`` or ``gdt`` for a file that may be either's; empty: nobody says.

    Raises:
        UsageError: The layout is unknown, the file is a checkpoint of this package, or it is not of the method.
    """
    if weights.about.get("format") == FORMAT:
        raise UsageError(f"{weights.path} is a checkpoint of this package already")
    if _is_gdt(weights, layout):
        guess = GUESS if is_guess(weights.tensors, method) else ""
        return Implied("stica/k400_reference", reference_settings(weights.tensors, method), guess)
    if method:
        raise UsageError(f"--as {method}: {weights.path} does not hold the networks of GDT or STiCA; leave --as out")
    if layout != AUTO:
        layout_named(layout)
    # A trunk alone: its average is what it was trained for, and there is nothing to compare crops with.
    return Implied("stica/k400_crossmodal", {})


def _is_gdt(weights: WeightsFile, layout: str) -> bool:
    return layout == GDT.name or (layout == AUTO and is_reference(weights.tensors))


def convert(weights: WeightsFile, cfg: CfgNode, *, layout: str = AUTO) -> Conversion:
    """Puts the weights of a file into the task of a configuration.

    Args:
        weights: The file.
        cfg: Configuration of the task; goes into the checkpoint, with the normalization of frames that the layout
            was trained with unless the configuration chooses one.
        layout: A name of `stica_pv.weights.LAYOUTS`, or ``auto``.

    Raises:
        UsageError: The trunk, or another part of which there is something in the file, is not whole; or a tensor of the
            file has no place.
    """
    task = create_task(cfg)
    own = task.state_dict()
    if _is_gdt(weights, layout):
        found, prefix = match(own, weights.tensors, GDT), ""
    else:
        found, prefix = _match_trunk(own, weights.tensors, layout), f"{TRUNK}."
    tensors = {f"{prefix}{name}": tensor for name, tensor in found.tensors.items()}
    random_parts = _random_parts(own, tensors)
    # A part is whole or absent: half a network would compute something that nobody trained.
    broken = {_part(f"{prefix}{name}") for name in (*found.missing, *found.misshapen)} - set(random_parts)
    if broken or found.unexpected or TRUNK in random_parts:
        raise UsageError(f"{weights.path} does not fit MODEL.ARCH {cfg.MODEL.ARCH}; {found.cause()}")
    with torch.no_grad():
        # An old count of batches may be missing; everything else is there or belongs to a part with random weights.
        model = {name: tensors.get(name, tensor).to(tensor.dtype).contiguous() for name, tensor in own.items()}
    return Conversion(
        _content(_as_stored(cfg, weights, found), model, weights, found, random_parts),
        found,
        random_parts,
        weights.skipped,
    )


def _as_stored(cfg: CfgNode, weights: WeightsFile, found: Match) -> CfgNode:
    settings: list[tuple[str, Any]] = [("OVERRIDES", [])]
    if not normalization_is_chosen(cfg):
        settings += zip(("DATA.MEAN", "DATA.STD"), _normalization(weights, found), strict=True)
    return with_keys(cfg, settings)


def _normalization(weights: WeightsFile, found: Match) -> tuple[list[float], list[float]]:
    """What the file says of itself, if it is an export of this package; else what its layout was trained with."""
    if HEADER in weights.about:
        header = header_of(weights)
        cfg = as_trained(get_cfg(), {"config": str(header.get("config"))})
        return list(cfg.DATA.MEAN), list(cfg.DATA.STD)
    mean, std = found.layout.mean_std
    return list(mean), list(std)


def _match_trunk(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], layout: str) -> Match:
    prefix = f"{TRUNK}."
    trunk = {name.removeprefix(prefix): tensor for name, tensor in own.items() if name.startswith(prefix)}
    return best_layout(trunk, tensors) if layout == AUTO else match(trunk, tensors, layout_named(layout))


def _part(name: str) -> str:
    return name.partition(".")[0]


def _random_parts(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    there = {_part(name) for name in tensors}
    return tuple(part for part in dict.fromkeys(map(_part, own)) if part not in there)


def _is_recorded(name: str, value: object) -> bool:
    return name in ("epoch", "format", "step") and isinstance(value, int | float | str)


def _content(
    cfg: CfgNode, model: dict[str, Tensor], weights: WeightsFile, found: Match, random_parts: tuple[str, ...]
) -> Checkpoint:
    return {
        "format": FORMAT,
        "config": without_credentials(cfg.dump()),
        "step": 0,
        "epoch_size": 0,
        "list_hash": "",
        "model": model,
        "optimizer": {},
        "scaler": {},
        "meter": {},
        "converted": {
            "file": Path(weights.path).name,
            "sha256": weights.sha256,
            "layout": found.layout.name,
            "about": {name: value for name, value in weights.about.items() if _is_recorded(name, value)},
            "drawn": list(random_parts),
        },
    }
