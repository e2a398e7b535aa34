"""The admin's routes."""
