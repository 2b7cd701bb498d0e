"""Workflows of the commands, from configuration to outputs."""
