"""The database: SQLite by default, PostgreSQL by a URL, the same code for both."""

from tortoise import models

from .connection import Database

__all__ = ["Database"]

# It reads the source of each model, in search of comments to put on columns; ours have none, and
# migrations make the tables. A tenth of the start was this, and where another thread parses
# Python meanwhile it fails on Python 3.11 (python/cpython#106905).
models._get_comments = lambda cls: {}
