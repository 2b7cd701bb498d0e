"""Keys of the processes of a run, on one machine, several, or a cluster."""

from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits
from stica_pv.config.roles import FREE, JOB

declare_keys(
    __name__,
    "",
    JOB,
    Key("NUM_GPUS", -1, "GPUs to use on this machine; -1 uses all, 0 runs on the CPU.", Limits(low=-1)),
    Key("CPU_PROCESSES", 1, "Processes on this machine if NUM_GPUS is 0.", AT_LEAST_ONE, role=FREE),
    Key("NUM_SHARDS", 1, "Number of machines.", AT_LEAST_ONE),
    Key("SHARD_ID", 0, "Index of this machine, from 0.", NOT_NEGATIVE, role=FREE),
)
declare_keys(
    __name__,
    "DIST",
    FREE,
    Key(
        "RENDEZVOUS_TIMEOUT_MINUTES",
        10.0,
        "Longest wait until all processes have connected, in minutes.",
        POSITIVE,
    ),
    Key(
        "HEARTBEAT_TIMEOUT_SECONDS",
        60.0,
        "Time in seconds after which a process without a heartbeat counts as dead.",
        Limits(low=5),
    ),
    Key("STEP_TIMEOUT_MINUTES", 30.0, "Longest duration of a training step, in minutes.", POSITIVE),
)
declare_keys(
    __name__,
    "SUBMITIT",
    JOB,
    Key("NODES", 1, "Number of nodes of a submitted job (`--launcher`).", AT_LEAST_ONE),
    Key(
        "GPUS_PER_NODE",
        0,
        "GPUs on each node, with one process each; 0 runs on the CPU.",
        NOT_NEGATIVE,
    ),
    Key("TASKS_PER_NODE", 1, "Processes on each node if GPUS_PER_NODE is 0.", AT_LEAST_ONE),
    Key("CPUS_PER_TASK", 1, "CPU cores of each process, including its loader workers.", AT_LEAST_ONE),
    Key("MEM_GB", 0.0, "Memory of each node in GB; 0 takes the default of the cluster.", NOT_NEGATIVE),
    Key(
        "TIME_MINUTES",
        1440,
        "Time limit of one attempt in minutes; a longer run is requeued and continues.",
        AT_LEAST_ONE,
    ),
    Key(
        "SIGNAL_SECONDS",
        120,
        "Time in seconds before the limit at which the run receives a signal to save and requeue.",
        AT_LEAST_ONE,
    ),
    Key("MAX_FAILURES", 3, "Largest number of automatic restarts of a failed job.", NOT_NEGATIVE),
    Key("JOB_NAME", "stica_pv", "Name of the job in the queue."),
    Key("PARTITION", "", "Partition of the cluster; empty takes its default."),
    Key("CONSTRAINT", "", "Required node features (sbatch --constraint)."),
    Key("ACCOUNT", "", "Account that the job is charged to."),
    Key("QOS", "", "Quality of service (sbatch --qos)."),
    Key("ARRAY_PARALLELISM", 256, "Largest number of runs of an array job at the same time.", AT_LEAST_ONE),
    Key("MAIL_USER", "", "Address for mail about the job; empty sends none."),
    Key("MAIL_TYPE", "END,FAIL", "Events to send mail about, if MAIL_USER is set."),
    Key("EXTRA", [], "Further options of sbatch, such as exclude=node7 or exclusive."),
)
