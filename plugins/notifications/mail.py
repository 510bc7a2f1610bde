"""Hand e-mail to a mail server. In a thread: the standard library has no other way."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage

from .settings import NotificationsSettings

_SECONDS = 20


class NotSent(Exception):
    """The mail server did not take it, with the reason in words."""


async def send(message: EmailMessage, settings: NotificationsSettings) -> None:
    """Hand over one e-mail.

    Raises:
        NotSent: it was not taken.
    """
    try:
        await asyncio.to_thread(_send, message, settings)
    except smtplib.SMTPResponseException as error:
        raise NotSent(f"the mail server answers {error.smtp_code}") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise NotSent("the mail server does not take mail for this address") from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotSent(f"the mail server cannot be used: {type(error).__name__}") from error


def _send(message: EmailMessage, settings: NotificationsSettings) -> None:
    context = ssl.create_default_context()
    where = settings.smtp_host, settings.smtp_port
    with (
        smtplib.SMTP_SSL(*where, timeout=_SECONDS, context=context)
        if settings.smtp_security == "tls"
        else smtplib.SMTP(*where, timeout=_SECONDS)
    ) as server:
        if settings.smtp_security == "starttls":
            server.starttls(context=context)
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)
