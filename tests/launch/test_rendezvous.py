"""Processes find each other at one address, once per attempt."""

from pathlib import Path

import pytest
import torch
from sockets import free_port

from stica_pv.errors import UsageError
from stica_pv.launch import rendezvous
from stica_pv.launch.process_spec import ProcessSpec
from stica_pv.launch.rendezvous import address_of


def test_the_processes_of_torchrun_connect_anew_after_a_restart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    port = free_port()
    store = torch.distributed.TCPStore("127.0.0.1", port, None, True, wait_for_workers=False)  # outlives the processes
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}.items():
        monkeypatch.setenv(name, value)
    spec = ProcessSpec(0, 0, 1, "env://", False, "", hosted=True, token="secret")
    for count in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        monkeypatch.setattr(rendezvous, "_stores", {})  # as in new processes
        monkeypatch.setattr(rendezvous, "_count", 0)
        assert rendezvous.rendezvous(spec, f"attempt {count}", 5.0, tmp_path).hellos == [f"attempt {count}"]
    monkeypatch.setattr(rendezvous, "_count", 0)
    with pytest.raises(UsageError, match="process 0 of 1 connected twice"):
        rendezvous.rendezvous(spec, "a twin", 5.0, tmp_path)
    del store


@pytest.mark.parametrize("address", ["127.0.0.1:99", "tcp://host", "tcp://:99", "tcp://host:x"])
def test_an_address_without_host_or_port_is_refused(address: str):
    with pytest.raises(UsageError, match="expected tcp://<host of shard 0>:<port>"):
        address_of(ProcessSpec(0, 0, 2, address, False, ""))


def test_a_rank_without_a_rendezvous_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UsageError, match="MASTER_ADDR and MASTER_PORT must be"):
        address_of(ProcessSpec(0, 0, 2, "env://", False, ""))
