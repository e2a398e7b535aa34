"""AI Gateway: one API key in front of every LLM provider."""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout handlers/, providers/, templates/ and static/ lie beside this package; installed, inside it.
if not (Path(__file__).resolve().parent / "handlers").is_dir():
    __path__.append(str(Path(__file__).resolve().parent.parent))
