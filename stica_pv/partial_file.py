"""Files that are written under another name and then renamed, so that a kill or a full disk leaves no half of one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """Yield ``<path>.partial`` to write to; at the end of the block it replaces `path`, or is removed after an error.

    The folder is made. A killed process may leave the partial file, which the next attempt overwrites.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the cause
            partial.unlink(missing_ok=True)
        raise
