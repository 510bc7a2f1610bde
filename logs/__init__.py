"""Logs: masked, numbered, kept in the database, followed and replayed."""

from .follow import LogBatch, LogHub
from .lines import clean_lines
from .records import PLATFORM, LogRecord
from .store import LogStore, SequenceTaken
from .writer import DEPLOYMENT_LOG_BYTES, LogWriter

__all__ = [
    "DEPLOYMENT_LOG_BYTES",
    "PLATFORM",
    "LogBatch",
    "LogHub",
    "LogRecord",
    "LogStore",
    "LogWriter",
    "SequenceTaken",
    "clean_lines",
]
