"""Browser sessions: a short access token, and a refresh token that is new after each use.

Both are signed and say which session they belong to and how often it was renewed. The row in the
database is asked with every request: a session that was ended is over at once.
"""

from .renewal import Copied, renew
from .tokens import ACCESS_LIFETIME, IDLE_LIFETIME, Keys, Pass, issue, read

__all__ = [
    "ACCESS_LIFETIME",
    "IDLE_LIFETIME",
    "Copied",
    "Keys",
    "Pass",
    "issue",
    "read",
    "renew",
]
