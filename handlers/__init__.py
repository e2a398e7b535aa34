"""Routes: read, call, write."""
