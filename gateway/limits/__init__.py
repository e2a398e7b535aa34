"""Limits on requests, kept in memory or in Redis behind one interface."""
