"""Logs: masked, numbered, kept in the database, followed and replayed."""

from .follow import LogBatch, LogHub
from .lines import clean_lines
from .records import PLATFORM, LogRecord
from .redact import MASK, Redactor
from .store import LogStore, SequenceTaken
from .writer import DEPLOYMENT_LOG_BYTES, LogWriter

__all__ = [
    "DEPLOYMENT_LOG_BYTES",
    "MASK",
    "PLATFORM",
    "LogBatch",
    "LogHub",
    "LogRecord",
    "LogStore",
    "LogWriter",
    "Redactor",
    "SequenceTaken",
    "clean_lines",
]
