"""Processes that would each do something else find out, and all end with the same line instead of waiting."""

from stica_pv.distributed.environment import from_main, rank, to_main
from stica_pv.errors import UsageError


def check_agreement(here: str, *, advice: str) -> None:
    """Compares what the processes are about to do.

    Args:
        here: What this process is about to do, as a predicate: "stands at step 5 of 9".
        advice: What to do where they differ.

    Raises:
        UsageError: A process differs from the main one. Every process says so, and none waits for the others.
    """
    there = from_main(here)
    fail_together("" if here == there else f"process {rank()} {here}, process 0 {there}: {advice}")


def fail_together(problem: str) -> None:
    """Raises on every process what any of them has met, that of the lowest rank; "" is no problem.

    Raises:
        UsageError: A process has met something.
    """
    first = first_problem(problem)
    if first:
        raise UsageError(first)


def first_problem(problem: str) -> str:
    """Returns on every process what any of them has met, that of the lowest rank; "" is no problem."""
    problems = [told for told in to_main(problem) if told]
    return from_main(problems[0] if problems else "")
