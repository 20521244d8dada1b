"""The folder of the reports, where a page appears whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_page(folder: Path, name: str, text: str) -> Path:
    """Write a page that only its owner may read; a report of that name is replaced.

    Args:
        folder: Where to; it is made when missing, for its owner alone.
        name: The file's name.
        text: The page.

    Raises:
        OSError: When the folder cannot be made or written to.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with mode 0600, under a name that no pattern for `*.html` matches.
    handle, temporary = tempfile.mkstemp(prefix=".report-", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        return Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
