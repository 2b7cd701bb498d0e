"""A plugin for stica_pv: importing it declares the keys and registers the components."""

from stica_pv_example import json_lines, sigmoid

__all__ = ["json_lines", "sigmoid"]
