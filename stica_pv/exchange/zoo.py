"""A page about checkpoints that are there: what they are, what they score, and how to load them."""

from collections.abc import Sequence
from pathlib import Path

from stica_pv.engine.checkpoint import FOLDER
from stica_pv.errors import UsageError
from stica_pv.evaluation.build_models import RANDOM, TRAINED
from stica_pv.evaluation.results import overall, read_results
from stica_pv.exchange.described import Described, read_described
from stica_pv.weights.files import sha256_of

HEAD = """# Model zoo

Each row was read from a checkpoint and the results.json of its run; nothing is entered by hand. There is no
release with the files yet; a recipe makes its own. `stica_pv.load_encoder(FILE)` loads one. Recipes without a row have
no checkpoint yet.
"""
COLUMNS = ("run", "method", "trunk", "training data", "steps", "scores in % (random initialization)", "file")
METRICS = ("R@1", "top1")


def zoo_page(sources: Sequence[str], *, imports: Sequence[str] = ()) -> str:
    """Returns the page as Markdown.

    Args:
        sources: Folders of runs, or checkpoints.
        imports: Modules with code that the checkpoints may use.

    Raises:
        UsageError: A checkpoint cannot be read, or its run was not evaluated.
    """
    rows = [_row(read_described(source, imports=imports)) for source in sources]
    lines = ["| " + " | ".join(cells) + " |" for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows)]
    return f"{HEAD}\n" + "\n".join(lines) + "\n"


def _row(found: Described) -> list[str]:
    path = Path(found.path)
    run = path.resolve().parent.parent if path.resolve().parent.name == FOLDER else path.resolve().parent
    cfg = found.cfg()
    return [
        f"`{run.name}`",
        cfg.TASK,
        f"`{cfg.MODEL.ARCH}`" + (f", width {cfg.MODEL.WIDTH}" if cfg.MODEL.WIDTH else ""),
        str(found.setting("TRAIN.DATASET")),
        f"{found.info['step']} of {found.setting('TRAIN.BATCH_SIZE')} videos",
        _scores(run),
        f"`{path.name}`, {path.stat().st_size / 1e6:.1f} MB, sha256 `{sha256_of(path)[:16]}…`",
    ]


def _scores(run: Path) -> str:
    found = read_results(run)
    rows = overall(found.rows)
    trained = [row for row in rows if row.metric in METRICS and row.model == TRAINED]
    if not trained:
        raise UsageError(f"{run} has no scores of one trained model: evaluate it first (TEST.ENABLE True)")
    parts = []
    for row in trained:
        name = (row.evaluation, row.metric, RANDOM)
        random = [one.value for one in rows if (one.evaluation, one.metric, one.model) == name]
        parts.append(f"{row.evaluation} {row.metric} {row.value:.1f}" + "".join(f" ({value:.1f})" for value in random))
    return ", ".join(parts)
