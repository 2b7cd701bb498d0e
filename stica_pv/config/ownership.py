"""Keys that only some methods read: setting one for another method is an error."""

from collections.abc import Iterable, Mapping, Sequence

from stica_pv.config.node import CfgNode, flatten
from stica_pv.errors import UsageError


def check_ownership(
    cfg: CfgNode, given: Iterable[str], *, defaults: CfgNode, owned: Mapping[str, Sequence[str]]
) -> None:
    """Refuses keys that the chosen TASK never reads.

    Args:
        cfg: The configuration.
        given: Keys that the user set; a key with its default value does not count.
        defaults: The configuration of defaults.
        owned: For each task, the keys that it reads and some others do not: keys, or sections that end with a dot. A
            task that is missing here, such as one of CUSTOM_IMPORTS, may read any key.

    Raises:
        UsageError: There are such keys; the message names them and the tasks that read them.
    """
    if cfg.TASK not in owned:
        return
    now, before = dict(flatten(cfg)), dict(flatten(defaults))
    readers = {
        key: [task for task, names in owned.items() if _is_in(key, names)]
        for key in dict.fromkeys(given)
        if key in now and now[key] != before[key]
    }
    idle = {key: tasks for key, tasks in readers.items() if tasks and cfg.TASK not in tasks}
    if idle:
        listed = ", ".join(f"{key} (TASK {' or '.join(tasks)} does)" for key, tasks in idle.items())
        raise UsageError(f"TASK {cfg.TASK} never reads {listed}: remove it, or choose another TASK")


def _is_in(key: str, names: Sequence[str]) -> bool:
    return any(key.startswith(name) if name.endswith(".") else key == name for name in names)
