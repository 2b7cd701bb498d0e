"""Checks that all processes are about to do the same; otherwise all end with the same error instead of waiting."""

from stica_pv.distributed.environment import from_main, rank, to_main
from stica_pv.errors import UsageError


def check_agreement(here: str, *, advice: str) -> None:
    """Compares what the processes are about to do.

    Args:
        here: Next action of this process, as a predicate: "is at step 5 of 9".
        advice: Remedy if they differ.

    Raises:
        UsageError: A process differs from the main one. Every process raises it, and none waits for the others.
    """
    there = from_main(here)
    fail_together("" if here == there else f"process {rank()} {here}, process 0 {there}: {advice}")


def fail_together(problem: str) -> None:
    """Raises the problem of the lowest rank on every process; "" is no problem.

    Raises:
        UsageError: A process has a problem.
    """
    first = first_problem(problem)
    if first:
        raise UsageError(first)


def first_problem(problem: str) -> str:
    """Returns the problem of the lowest rank on every process; "" is no problem."""
    problems = [found for found in to_main(problem) if found]
    return from_main(problems[0] if problems else "")
