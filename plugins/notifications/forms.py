"""One message in the form of each kind of channel."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

_COLOURS = {"trouble": 0xC0362C, "recovered": 0x2E7D4F}
_SIGNS = {"trouble": "✗", "recovered": "✓"}
_MOST = 1500


def webhook(id: str, content: Mapping[str, Any], secret: str) -> tuple[bytes, dict[str, str]]:
    """Return body and headers for a program: the body is signed as GitHub signs its own."""
    body = json.dumps({"id": id, **content}, ensure_ascii=False).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "X-Helvetia-Delivery": id,
        "X-Helvetia-Signature-256": f"sha256={signature}",
    }


def slack(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for Slack, and all that understand its webhooks."""
    title = f"{_sign(content)}*{_escaped(content['title'])}*"
    lines = [title, _escaped(content["text"][:_MOST])] if content["text"] else [title]
    return {"text": "\n".join(lines)}


def discord(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for Discord; nobody is called by name, whatever a text says."""
    embed = {
        "title": f"{_sign(content)}{content['title']}"[:250],
        "description": content["text"][:_MOST],
        "color": _COLOURS.get(content["state"], 0x6B7280),
        "timestamp": content["time"],
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def mail(content: Mapping[str, Any], *, sender: str, receiver: str) -> EmailMessage:
    """Return an e-mail."""
    message = EmailMessage()
    # A line break in a header would be another header.
    message["Subject"] = " ".join(f"{_sign(content)}{content['title']}".split())
    message["From"] = sender
    message["To"] = receiver
    message["Date"] = format_datetime(datetime.fromisoformat(content["time"]))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    facts = [f"{name}: {content[name]}" for name in ("service", "deployment") if content[name]]
    message.set_content("\n".join([content["text"] or content["title"], "", *facts]))
    return message


def _sign(content: Mapping[str, Any]) -> str:
    sign = _SIGNS.get(content["state"])
    return f"{sign} " if sign else ""


def _escaped(text: str) -> str:
    """Return a text in which nothing is a link or a mention to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
