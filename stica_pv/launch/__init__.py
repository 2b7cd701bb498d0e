"""Ways to start a run."""

from stica_pv.launch.local import launch
from stica_pv.launch.logs import set_up_logging

__all__ = ["launch", "set_up_logging"]
