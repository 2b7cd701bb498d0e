"""Code rules that no linter holds, of the package and of its tests. Each checker is tried on bad examples first.

Of tests: one that compares the last bit, or measures wall time, passes on one machine and fails on the next.
"""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 60
REASON = re.compile(r"# exact: \w")

EXACT_CALLS = ("equal", "array_equal", "array_equiv", "assert_array_equal")  # of torch, np, np.testing
CLOSE_CALLS = ("assert_close", "allclose", "isclose", "assert_allclose")
VALUES = ("tolist", "item")
RUN_NUMBERS = ("metrics_text", "losses", "metric", "read_metrics", "weights")  # of tiny_runs and the records of a run
# What has such a name holds integers or truth values wherever it is met here; they are equal or they are not.
INTEGERS = ("arange", "argmax", "argsort", "bincount", "nonzero", "randperm", "isnan", "bool", "unique")
INTEGER_FIELDS = ("label", "labels", "index", "indices", "group", "groups", "queries", "columns", "bands", "boxes")

HEADER_TOPICS = ("paper", "command", "hardware")
MACHINE_PATH = re.compile(
    r"(?<![\w.}\])*~/-])/(?:home|root|mnt|data|datasets|checkpoints?|private|scratch|tmp|work|Users|opt|srv|nfs|fsx)/\w"
    r"|\b[A-Z]:\\\w"
)

WALL_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")


def name_of(node: ast.AST) -> str:
    """Returns the last part of the name that is called, "" for what is no plain call."""
    if not isinstance(node, ast.Call):
        return ""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def calls(node: ast.AST, names: tuple[str, ...]) -> bool:
    return any(name_of(part) in names for part in ast.walk(node))


def of_integers(node: ast.AST) -> bool:
    names = [part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)]
    names += [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return calls(node, INTEGERS) or any(name in INTEGER_FIELDS for name in names)


def of_constants(node: ast.AST) -> bool:
    """Whether a value is written down in numbers: one, a list of them, or a choice of two."""
    if isinstance(node, ast.IfExp):
        return of_constants(node.body) and of_constants(node.orelse)
    if isinstance(node, ast.List | ast.Tuple):
        return all(map(of_constants, node.elts))
    return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, ast.Constant)


def has_no_tolerance(node: ast.Call) -> bool:
    given = {keyword.arg: keyword.value.value for keyword in node.keywords if isinstance(keyword.value, ast.Constant)}
    return name_of(node) in CLOSE_CALLS and given.get("rtol") == 0 and given.get("atol") == 0


def is_equality(node: ast.AST) -> bool:
    return isinstance(node, ast.Compare) and all(isinstance(sign, ast.Eq) for sign in node.ops)


def is_exact_call(node: ast.Call) -> bool:
    if has_no_tolerance(node):
        return True
    if name_of(node) in EXACT_CALLS:
        return not any(of_integers(argument) for argument in node.args)
    if name_of(node) == "all" and not is_of_an_axis(node):  # (a == b).all(), torch.all(a == b)
        compared = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
        return any(is_equality(part) and is_exact_all(part) for part in compared)
    return False


def is_of_an_axis(node: ast.Call) -> bool:
    """Whether `all` returns one result per row, which asserts nothing yet."""
    return bool(node.keywords) or any(of_constants(argument) for argument in node.args)


def is_exact_all(node: ast.Compare) -> bool:
    sides = [node.left, *node.comparators]
    return not any(of_integers(side) or of_constants(side) for side in sides)


def is_exact_compare(node: ast.Compare) -> bool:
    """Whether both sides are calculated; one that is written down, or is `approx`, is not."""
    sides = [node.left, *node.comparators]
    if any(calls(side, ("approx",)) or of_integers(side) for side in sides):
        return False
    runs = sum(name_of(side) in RUN_NUMBERS for side in sides)
    return runs > 1 or sum(calls(side, VALUES) for side in sides) > 1


def is_exact(node: ast.AST) -> TypeGuard[ast.expr]:
    if isinstance(node, ast.Compare):
        return is_equality(node) and is_exact_compare(node)
    return isinstance(node, ast.Call) and is_exact_call(node)


def exact_comparisons(node: ast.AST, negated: bool = False) -> Iterator[ast.expr]:
    """Yields each comparison of the last bit below a node; that two things differ is no such."""
    if not negated and is_exact(node):
        yield node
    else:
        denies = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        for child in ast.iter_child_nodes(node):
            yield from exact_comparisons(child, denies)


def exactness_faults(path: Path, source: str) -> list[str]:
    lines = source.splitlines()
    return [
        f"{path}:{node.lineno}: compares the last bit: state a tolerance, or why it is the same: `# exact: reason`"
        for node in exact_comparisons(ast.parse(source))
        if not any(REASON.search(line) for line in lines[max(0, node.lineno - 2) : node.end_lineno])
    ]


def wall_clock_faults(path: Path, source: str) -> list[str]:
    """Finds each assertion on a difference of times of the wall, also by way of names."""
    faults = []
    for function in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)):
        read, elapsed = names_of_times(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Assert) and (differs(node.test, read) or uses(node.test, elapsed)):
                faults.append(f"{path}:{node.lineno}: measures the wall: take processor time or a fake clock")
    return faults


def names_of_times(function: ast.FunctionDef) -> tuple[set[str], set[str]]:
    """Returns the names that hold times, and those that hold differences of them."""
    read: set[str] = set()
    elapsed: set[str] = set()
    for node in sorted((n for n in ast.walk(function) if isinstance(n, ast.Assign)), key=lambda n: n.lineno):
        names = {part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)}
        if differs(node.value, read):
            elapsed |= names
        elif reads_the_wall(node.value):
            read |= names
    return read, elapsed


def reads_the_wall(node: ast.AST) -> bool:
    return any(ast.unparse(part.func).removeprefix("time.") in WALL_CLOCKS for part in ast.walk(node)
               if isinstance(part, ast.Call))  # fmt: skip


def uses(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(part, ast.Name) and part.id in names for part in ast.walk(node))


def differs(node: ast.AST, read: set[str]) -> bool:
    differences = [p for p in ast.walk(node) if isinstance(p, ast.BinOp) and isinstance(p.op, ast.Sub)]
    return any(reads_the_wall(part) or uses(part, read) for part in differences)


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    is_text = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return (first.end_lineno or first.lineno) - first.lineno + 1 if is_text else 0


def length_faults(path: Path, source: str) -> list[str]:
    lines = len(source.splitlines())
    faults = [f"{path}: {lines} lines, at most {MAX_FILE_LINES}"] if lines > MAX_FILE_LINES else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring_lines(node)
            if length > MAX_FUNCTION_LINES:
                faults.append(f"{path}:{node.lineno}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}")
    return faults


def except_faults(path: Path, source: str) -> list[str]:
    handlers = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler)]
    return [f"{path}:{node.lineno}: bare except" for node in handlers if node.type is None]


def print_faults(path: Path, source: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"{path}:{n.lineno}: print" for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]


def library_print_faults(path: Path, source: str) -> list[str]:
    """Commands print their result; everything else logs."""
    return [] if path.parts[:2] == ("stica_pv", "commands") else print_faults(path, source)


def squeeze_faults(path: Path, source: str) -> list[str]:
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("squeeze"):
            of_module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("torch", "np", "numpy")
            if len(node.args) <= of_module and not node.keywords:
                faults.append(f"{path}:{node.lineno}: squeeze without its axis")
    return faults


def machine_path_faults(path: Path, source: str) -> list[str]:
    found = [number for number, line in enumerate(source.splitlines(), 1) if MACHINE_PATH.search(line)]
    return [f"{path}:{number}: a path of one machine" for number in found]


def header_faults(path: Path, source: str) -> list[str]:
    lines = source.splitlines()
    length = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header = [line.lstrip("# ").lower() for line in lines[:length]]
    missing = [topic for topic in HEADER_TOPICS if not any(line.startswith(topic) for line in header)]
    if not any(line.startswith("result") or "not yet run" in line for line in header):
        missing.append("result (or 'not yet run')")
    return [f"{path}: the comment that opens it does not name {', '.join(missing)}"] if missing else []


Checker = Callable[[Path, str], list[str]]
CODE = ("stica_pv", "tools")
RULES: dict[str, tuple[Checker, tuple[str, ...], str]] = {
    "files_and_functions_are_short": (length_faults, CODE, "*.py"),
    "except_names_its_error": (except_faults, CODE, "*.py"),
    "the_package_does_not_print": (library_print_faults, ("stica_pv",), "*.py"),
    "squeeze_names_its_axis": (squeeze_faults, CODE, "*.py"),
    "code_names_no_path_of_one_machine": (machine_path_faults, CODE, "*.py"),
    "settings_name_no_path_of_one_machine": (machine_path_faults, ("projects",), "*.y*ml"),
    "tests_compare_within_a_tolerance": (exactness_faults, ("tests",), "*.py"),
    "tests_do_not_measure_wall_time": (wall_clock_faults, ("tests",), "*.py"),
    "settings_open_with_their_provenance": (header_faults, ("projects",), "*.y*ml"),
}


@pytest.mark.parametrize("rule", RULES)
def test_rule_holds(rule: str):
    check, folders, pattern = RULES[rule]
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob(pattern))]
    assert files, f"nothing to check under {folders}"
    faults = [fault for path in files for fault in check(path.relative_to(ROOT), path.read_text(encoding="utf-8"))]
    assert not faults, "\n".join(faults)


GOOD_HEADER = "# Paper: STiCA\n# Command: run\n# Hardware: 1 GPU\n# Result: not yet run\nTASK: x\n"

BAD: list[tuple[Checker, str]] = [
    (length_faults, "x = 1\n" * 351),
    (length_faults, "def f():\n" + "    x = 1\n" * 60),
    (except_faults, "try:\n    x\nexcept:\n    pass"),
    (print_faults, "print(1)"),
    (squeeze_faults, "x.squeeze()"),
    (squeeze_faults, "x.mean().squeeze_()"),
    (squeeze_faults, "torch.squeeze(x)"),
    (machine_path_faults, 'root = "/home/me/videos"'),
    (machine_path_faults, "# see /mnt/disk1"),
    (machine_path_faults, 'root = "C:\\videos"'),
    (header_faults, "TASK: x\n" + GOOD_HEADER),
    (header_faults, GOOD_HEADER.replace("# Paper: STiCA\n", "")),
    (header_faults, GOOD_HEADER.replace("# Result: not yet run\n", "")),
    (exactness_faults, "assert torch.equal(a, b)"),
    (exactness_faults, "assert torch.equal(a, b)  # the same"),
    (exactness_faults, "# exact: too far away\n\nassert all(torch.equal(x, y) for x, y in pairs)"),
    (exactness_faults, "assert np.array_equal(a, b)"),
    (exactness_faults, "np.testing.assert_array_equal(a, b)"),
    (exactness_faults, "assert a.equal(b)"),
    (exactness_faults, "torch.testing.assert_close(a, b, rtol=0, atol=0)"),
    (exactness_faults, "torch.testing.assert_close(a, b, atol=0.0, rtol=0.0)"),
    (exactness_faults, "assert torch.allclose(a, b, rtol=0, atol=0)"),
    (exactness_faults, "assert (a == b).all()"),
    (exactness_faults, "assert torch.all(a == b)"),
    (exactness_faults, "assert a.tolist() == b.tolist()"),
    (exactness_faults, "assert a.item() == loss(b).item()"),
    (exactness_faults, "assert metrics_text(a) == metrics_text(b)"),
    (exactness_faults, "same = all(torch.equal(x, y) for x, y in pairs)"),
    (exactness_faults, "assert not all(torch.equal(a, b) for a in c)"),
    (wall_clock_faults, "def f():\n    a = time.monotonic()\n    assert time.monotonic() - a < 5"),
    (wall_clock_faults, "def f():\n    a = perf_counter()\n    b = perf_counter()\n    assert b - a < 5"),
    (wall_clock_faults, "def f():\n    a = time.time()\n    took = time.time() - a\n    assert took < 5"),
]
GOOD: list[tuple[Checker, str]] = [
    (length_faults, "def f():\n" + "    x = 1\n" * 59 + "y = 1\n" * 190),
    (except_faults, "try:\n    x\nexcept OSError:\n    pass"),
    (print_faults, "self.print(1)"),
    (squeeze_faults, "x.squeeze(1)\nx.squeeze(dim=1)\ntorch.squeeze(x, 1)\nx.unsqueeze(0)"),
    (machine_path_faults, '"stica_pv/data/x"\nf"{root}/data/x"\nroot / "data" / "x"\n"../data/x"\n"/dev/shm"'),
    (header_faults, GOOD_HEADER),
    (exactness_faults, "assert torch.equal(a, b)  # exact: a copy"),
    (exactness_faults, "# exact: a copy\nassert torch.equal(a, b)"),
    (exactness_faults, "assert not torch.equal(a, b)"),
    (exactness_faults, "assert any(not torch.equal(a, b) for a in c)"),
    (exactness_faults, "assert torch.equal(a, torch.arange(3))"),
    (exactness_faults, "assert torch.equal(found.labels, wanted)"),
    (exactness_faults, "assert a.tolist() == [0.5, 1.0]"),
    (exactness_faults, "assert a.item() == pytest.approx(b.item(), rel=1e-6)"),
    (exactness_faults, "assert (a == 1).all()"),
    (exactness_faults, "constant = (a == b).all(1)"),
    (exactness_faults, "assert len(losses(a)) == len(losses(b)) == 4"),
    (exactness_faults, "torch.testing.assert_close(a, b, rtol=0, atol=1e-5)"),
    (wall_clock_faults, "def f():\n    a = time.process_time()\n    assert time.process_time() - a < 5"),
    (
        wall_clock_faults,
        "def f():\n    end = time.monotonic() + 60\n    assert time.monotonic() < end",
    ),
    (wall_clock_faults, "def f():\n    end = time.monotonic() + 60\n    one.join(end - time.monotonic())"),
]


@pytest.mark.parametrize(("check", "source"), BAD)
def test_checker_finds_the_fault(check: Checker, source: str):
    assert len(check(Path("some_file"), source)) == 1


@pytest.mark.parametrize(("check", "source"), GOOD)
def test_checker_accepts_good_code(check: Checker, source: str):
    assert check(Path("some_file"), source) == []
