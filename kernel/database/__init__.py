"""The database: SQLite by default, PostgreSQL by a URL, the same code for both."""

from .connection import Database

__all__ = ["Database"]
