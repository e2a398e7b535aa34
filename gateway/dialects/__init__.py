"""Client-facing dialects, one shape per file."""
