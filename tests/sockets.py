"""Where processes listen: the addresses of their sockets, as the kernel lists them."""

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path

LISTENS = "0A"  # state of a socket in /proc/net/tcp


def listening(pids: Iterable[int]) -> set[str]:
    """Returns the addresses, IPv4 and IPv6, at which processes listen for TCP connections, as ``host:port``."""
    links = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since
                links.add(os.readlink(file))
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = Path("/proc/net") / table
        for line in path.read_text().splitlines()[1:] if path.is_file() else ():
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in links:
                host, port = fields[1].split(":")
                found.add(f"{_name(family, host)}:{int(port, 16)}")
    return found


def _name(family: socket.AddressFamily, host: str) -> str:
    parts = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]  # little-endian
    return socket.inet_ntop(family, b"".join(parts))


def family_of(pid: int) -> list[int]:
    """Returns a process and all that it and its descendants have started."""
    found = [pid]
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):
            found += family_of(int(child))
    return found


def free_port() -> int:
    """Returns a port that nothing uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
