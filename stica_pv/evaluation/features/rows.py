"""Gather rows of features on the main process as bytes, without pickle."""

import json
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stica_pv.distributed import bytes_to_main, largest, world_size

SENT_BYTES = 2**26  # bytes of rows per process and message


def rows_to_main(rows: dict[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
    """Gather the rows of all processes on the main one, in pieces that fit into memory."""
    if world_size() == 1:
        return rows
    size = sum(row.nbytes for row in next(iter(rows.values())).values()) if rows else 1
    (size,) = largest([size])
    entries, at_once = list(rows.items()), max(1, SENT_BYTES // size)
    (longest,) = largest([len(entries)])
    joined: dict[int, dict[str, Tensor]] = {}
    for start in range(0, longest, at_once):
        for part in bytes_to_main(_packed(entries[start : start + at_once])):
            joined |= _unpacked(part)
    return joined


def _packed(entries: Sequence[tuple[int, dict[str, Tensor]]]) -> bytes:
    """Return float32 rows as bytes: a line of JSON with items and shapes, then the numbers."""
    if not entries:
        return b""
    shapes = {name: list(row.shape) for name, row in entries[0][1].items()}
    header = json.dumps({"items": [index for index, _ in entries], "shapes": shapes}).encode()
    numbers = torch.cat([row.flatten() for _, rows in entries for row in rows.values()])
    return header + b"\n" + numbers.numpy().tobytes()


def _unpacked(content: bytes) -> dict[int, dict[str, Tensor]]:
    if not content:
        return {}
    header, _, numbers = content.partition(b"\n")
    layout = json.loads(header)
    sizes = [math.prod(shape) for shape in layout["shapes"].values()]
    table = torch.frombuffer(bytearray(numbers), dtype=torch.float32).view(len(layout["items"]), sum(sizes))
    columns = dict(zip(layout["shapes"], table.split(sizes, dim=1), strict=True))
    return {
        index: {name: columns[name][row].clone().view(shape) for name, shape in layout["shapes"].items()}
        for row, index in enumerate(layout["items"])
    }
