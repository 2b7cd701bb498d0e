"""A real Slurm of two nodes on this machine, in a folder of its own, and words with it.

Debian's Slurm is built for several slurmd on one host. It runs as root; nothing of the system's own Slurm is touched.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
POLICY = Path("/usr/sbin/policy-rc.d")  # exit code 101: packages start nothing
NODES = ("127.0.0.2", "127.0.0.3")  # addresses, since names would have to resolve
PATIENCE_S = 600.0

CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
FirstJobId={first_job}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/run/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={root}/state
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmdSpoolDir={root}/spool.%n
SlurmdLogFile={root}/log/slurmd.%n.log
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=3600
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=127.0.0.2 NodeHostname={host} NodeAddr=127.0.0.2 Port={ports[1]} CPUs=4 RealMemory=4000 State=UNKNOWN
NodeName=127.0.0.3 NodeHostname={host} NodeAddr=127.0.0.3 Port={ports[2]} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=test Nodes={nodes} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=abrupt Nodes={nodes} MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
PartitionName=urgent Nodes={nodes} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""

# Without accounting there is no sacct, and submitit would wait for ever for a job that leaves no result.
SACCT = """\
#!{python}
import re, subprocess, sys
print("JobID|State|NodeList")
for job in [sys.argv[i + 1] for i, word in enumerate(sys.argv) if word == "-j"]:
    output = subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout
    for block in output.split("\\n\\n"):
        found = dict(re.findall(r"(\\w+)=(\\S*)", block))
        if "JobId" in found:
            name = f"{{found['ArrayJobId']}}_{{found['ArrayTaskId']}}" if "ArrayJobId" in found else found["JobId"]
            print(f"{{name}}|{{found['JobState']}}|{{found.get('NodeList', '')}}")
"""


def why_absent() -> str:
    """Why there can be no Slurm here, after trying to install it; "" if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "two slurmd on one machine need Linux and root"
    if not all(map(shutil.which, PROGRAMS)):
        failed = _install()
        if failed:
            return failed
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    return f"missing: {', '.join(missing)}" if missing else ""


def _install() -> str:
    if not shutil.which("apt-get"):
        return "Slurm is not installed and there is no apt-get"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    made = not POLICY.exists()
    if made:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            done = subprocess.run(["apt-get", *command], env=quiet, capture_output=True, text=True, timeout=300)
            if done.returncode:
                return f"apt-get {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}"
    except subprocess.TimeoutExpired:
        return "apt-get took more than five minutes"
    finally:
        if made:
            POLICY.unlink()
    return ""


def wait_until(reached: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Waits for something to become true; fails with what was waited for."""
    end = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < end, f"waited {patience_s:.0f} s in vain: {what}"
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Cluster:
    """A running cluster. `environment` lets programs find it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        foreign = ("SLURM", "SBATCH", "SUBMITIT")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
            "SLURM_CONF": str(root / "slurm.conf"),
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        }

    def start(self) -> None:
        """Writes the settings and starts the daemons."""
        root = self.root
        for name, mode in (("run", 0o755), ("log", 0o700), ("state", 0o700), ("bin", 0o755)):
            (root / name).mkdir(mode=mode)
        for node in NODES:
            (root / f"spool.{node}").mkdir()
        host = socket.gethostname().partition(".")[0]
        # Numbers of jobs of its own: they choose the ports where the processes of a run meet.
        values = {"root": root, "host": host, "nodes": ",".join(NODES), "first_job": random.randint(1, 50_000)}
        (root / "slurm.conf").write_text(CONF.format(**values, ports=free_ports(3)))
        (root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (root / "bin" / "sacct").write_text(SACCT.format(python=sys.executable))
        (root / "bin" / "sacct").chmod(0o755)
        key = root / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(1024))
        run, log = root / "run", root / "log"
        self._daemon(
            *("munged", "--key-file", key, "--socket", run / "munge.socket", "--pid-file", run / "munged.pid"),
            *("--log-file", log / "munged.log", "--seed-file", root / "munge.seed", "--force"),
        )
        self._daemon("slurmctld", "-f", root / "slurm.conf")
        for node in NODES:
            self._daemon("slurmd", "-N", node, "-f", root / "slurm.conf")
        wait_until(lambda: self.say("sinfo", "-h", "-p", "test", "-o", "%t %D").split() == ["idle", "2"], "idle nodes")

    def _daemon(self, *command: object) -> None:
        arguments = [str(argument) for argument in command]
        subprocess.run(arguments, env=self.environment, check=True, capture_output=True, timeout=60)

    def say(self, *command: object, check: bool = True) -> str:
        """Runs a command; its output."""
        done = subprocess.run(
            [str(argument) for argument in command], env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def state(self, job: str) -> str:
        """Slurm's name for the state of a job; several of a job's tasks are joined."""
        message = self.say("scontrol", "show", "job", job)
        return ",".join(sorted({field.partition("=")[2] for field in message.split() if field.startswith("JobState=")}))

    def restarts(self, job: str) -> int:
        """How often a job was requeued."""
        message = self.say("scontrol", "show", "job", job)
        return max(int(argument.partition("=")[2]) for argument in message.split() if argument.startswith("Restarts="))

    def await_state(self, job: str, *states: str) -> None:
        """Waits for a job to be in one of some states."""
        ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")

        def reached() -> bool:
            state = self.state(job)
            assert state in states or state not in ended, f"job {job} is {state}, expected {states}"
            return state in states

        wait_until(reached, f"job {job} to be {states}")

    def stop(self) -> None:
        """Ends all jobs, then the daemons: a step outlives its slurmd."""
        self.say("scancel", "--user=root", check=False)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self.say("squeue", "-h", check=False).strip(), "an empty queue", patience_s=60)
        for path in sorted((self.root / "run").glob("*.pid"), reverse=True):  # slurmd, slurmctld, munged
            with contextlib.suppress(ProcessLookupError, ValueError, FileNotFoundError):
                os.kill(int(path.read_text()), signal.SIGTERM)
        wait_until(lambda: not list((self.root / "run").glob("slurm*.pid")), "the daemons to end", patience_s=30)


@contextlib.contextmanager
def running(root: Path) -> Iterator[Cluster]:
    """A cluster for as long as this is entered."""
    cluster = Cluster(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def processes_of(job: str) -> list[tuple[int, int]]:
    """(rank, process id) of the Python processes of a job, from what they find in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "environ").read_text(errors="replace")
            arguments = dict(argument.partition("=")[::2] for argument in text.split("\0"))
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if arguments.get("SLURM_JOB_ID") == job and "SLURM_PROCID" in arguments and "submitit.core._submit" in command:
            found.append((int(arguments["SLURM_PROCID"]), int(folder.name)))
    return sorted(found)
