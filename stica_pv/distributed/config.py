"""Keys of the processes of a run, on one machine, several, or a cluster."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits, declare_limits


def add_distributed_config(cfg: CfgNode) -> None:
    """Declares the number of processes, DIST and SUBMITIT."""
    cfg.NUM_GPUS = -1  # on this machine; -1: all that are present, 0: run on the CPU
    cfg.CPU_PROCESSES = 1  # processes when NUM_GPUS is 0
    cfg.NUM_SHARDS = 1  # machines
    cfg.SHARD_ID = 0  # this machine

    dist = section(cfg, "DIST")
    dist.RENDEZVOUS_TIMEOUT_MINUTES = 10.0  # longest wait until all processes have connected
    dist.HEARTBEAT_TIMEOUT_SECONDS = 60.0  # a process without a heartbeat for so long counts as dead
    dist.STEP_TIMEOUT_MINUTES = 30.0  # longest training step

    submitit = section(cfg, "SUBMITIT")  # with --launcher slurm or local
    submitit.NODES = 1
    submitit.GPUS_PER_NODE = 0  # one process each; 0: run on the CPU
    submitit.TASKS_PER_NODE = 1  # processes when GPUS_PER_NODE is 0
    submitit.CPUS_PER_TASK = 1  # per process, including its loader workers
    submitit.MEM_GB = 0.0  # per node; 0: the cluster's default
    submitit.TIME_MINUTES = 1440  # of one attempt; a longer run is requeued and continues
    submitit.SIGNAL_SECONDS = 120  # time before the limit at which the run is signaled to save and requeue
    submitit.MAX_FAILURES = 3  # how often a failed job is requeued automatically
    submitit.JOB_NAME = "stica_pv"
    submitit.PARTITION = ""
    submitit.CONSTRAINT = ""
    submitit.ACCOUNT = ""
    submitit.QOS = ""
    submitit.ARRAY_PARALLELISM = 256  # runs of an array at a time
    submitit.MAIL_USER = ""
    submitit.MAIL_TYPE = "END,FAIL"  # with MAIL_USER
    submitit.EXTRA = []  # further options of sbatch, as "exclude=node7" or "exclusive"


declare_limits(
    {
        "NUM_GPUS": Limits(low=-1),
        "CPU_PROCESSES": AT_LEAST_ONE,
        "NUM_SHARDS": AT_LEAST_ONE,
        "SHARD_ID": NOT_NEGATIVE,
        "DIST.RENDEZVOUS_TIMEOUT_MINUTES": POSITIVE,
        "DIST.HEARTBEAT_TIMEOUT_SECONDS": Limits(low=5),
        "DIST.STEP_TIMEOUT_MINUTES": POSITIVE,
        "SUBMITIT.NODES": AT_LEAST_ONE,
        "SUBMITIT.GPUS_PER_NODE": NOT_NEGATIVE,
        "SUBMITIT.TASKS_PER_NODE": AT_LEAST_ONE,
        "SUBMITIT.CPUS_PER_TASK": AT_LEAST_ONE,
        "SUBMITIT.MEM_GB": NOT_NEGATIVE,
        "SUBMITIT.TIME_MINUTES": AT_LEAST_ONE,
        "SUBMITIT.SIGNAL_SECONDS": AT_LEAST_ONE,
        "SUBMITIT.MAX_FAILURES": NOT_NEGATIVE,
        "SUBMITIT.ARRAY_PARALLELISM": AT_LEAST_ONE,
    }
)
