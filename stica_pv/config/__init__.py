"""Strict fvcore configuration: declared keys, `_BASE_` files, `KEY VALUE` overrides."""

from stica_pv.config.node import CfgNode, apply_overrides, flatten, keys_in_file, merge_file, section, with_keys

__all__ = ["CfgNode", "apply_overrides", "flatten", "keys_in_file", "merge_file", "section", "with_keys"]
