"""Numbered steps of the database's schema, run by playhouse.migrations; see gateway/db.py."""
