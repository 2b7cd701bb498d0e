"""The registries of components."""

import json
import subprocess
import sys

import pytest

from stica_pv.errors import UsageError
from stica_pv.registry import ALL, Registry


@pytest.fixture
def registry() -> Registry:
    registry = Registry("dish")

    @registry.register()
    def risotto() -> str:
        return "rice"

    @registry.named("r2d2-soup")
    def soup(*, salt: int, pepper: int = 0) -> tuple[int, int]:
        return salt, pepper

    return registry


def test_component_is_found_by_its_own_or_its_given_name(registry: Registry):
    assert registry.get("risotto")() == "rice"
    assert registry.get("r2d2-soup")(salt=1) == (1, 0)
    assert registry.names() == ["r2d2-soup", "risotto"]


def test_named_returns_the_component_itself():
    registry = Registry("dish")

    def pasta() -> None: ...

    assert registry.named("noodles")(pasta) is pasta


def test_unknown_name_lists_the_known_ones_and_the_nearest(registry: Registry):
    with pytest.raises(UsageError) as raised:
        registry.get("rissotto")
    message = str(raised.value)
    assert message.startswith("no dish is called 'rissotto' (did you mean risotto?)")
    assert "r2d2-soup, risotto" in message
    assert "CUSTOM_IMPORTS" in message


def test_same_name_twice_is_refused(registry: Registry):
    with pytest.raises((AssertionError, UsageError), match="risotto"):
        registry.named("risotto")(len)


def test_build_passes_the_settings_that_the_builder_names(registry: Registry):
    assert registry.build("r2d2-soup", salt=3, pepper=1, oven=200) == (3, 1)
    assert registry.build("risotto", salt=3) == "rice"


def test_each_kind_of_component_has_its_own_registry():
    assert len({id(registry) for registry in ALL.values()}) == len(ALL)
    assert {"backbones", "audio_encoders", "poolings", "tasks", "datasets", "evaluations"} <= set(ALL)


def test_a_process_that_only_runs_jobs_knows_every_component():
    # Processes that are started here or by a cluster import what they run, not the command line.
    code = """
import json
import stica_pv.launch.job
from stica_pv.registry import ALL
alone = {kind: registry.names() for kind, registry in ALL.items()}
import stica_pv.defaults
print(json.dumps([alone, {kind: registry.names() for kind, registry in ALL.items()}]))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=300).stdout
    alone, by_the_command_line = json.loads(output)
    assert alone == by_the_command_line
    assert alone["tasks"] == ["av_contrastive", "brave", "classification", "cvrl", "gdt"]
