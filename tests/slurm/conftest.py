"""The cluster of these tests, the runs that nothing disturbed, and a table of what each disturbance did."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running, why_absent
from cluster_runs import Runs


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    reason = why_absent()
    if reason:
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, running(tmp_path_factory.mktemp("slurm")) as cluster:
        for name in list(os.environ):
            if name not in cluster.environment:
                patch.delenv(name)
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the daemons end in any case
        yield cluster
        signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def runs(
    cluster: Cluster, clips_folder: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Runs]:
    runs = Runs(cluster, clips_folder, tmp_path_factory.mktemp("runs"))
    yield runs
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        sys.stdout.write("\n" + runs.table())
