"""Translators: one upstream dialect each, pure."""
