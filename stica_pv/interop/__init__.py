"""Encoders of this package in the form that other benchmarks expect; each module needs its benchmark only to run it."""
