"""Where the data files lie: in the package when installed, beside it in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Where `name` lies: a folder or file such as `templates` or `static/app.css`.

    Raises `FileNotFoundError` when the installation lacks it.
    """
    for base in (_PACKAGE, _PACKAGE.parent):
        if (path := base / name).exists():
            return path
    raise FileNotFoundError(f"{name}: neither in {_PACKAGE} nor beside it; the installation is incomplete")
