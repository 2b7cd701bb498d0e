"""Keeping freed memory changes the speed, never the numbers."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys, torch
from stica_pv.launch.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
torch.manual_seed(0)
x = torch.randn(2, 3, 8, 32, 32)
print(float(torch.nn.functional.conv3d(x, torch.randn(4, 3, 3, 3, 3)).sum()))
"""


@pytest.mark.slow
def test_numbers_are_the_same_with_and_without() -> None:
    results = [
        subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout
        for how in ("keep", "leave")
    ]
    assert results[0] == results[1]
    assert results[0].strip()
