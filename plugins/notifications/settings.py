"""What an operator decides about notifications."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr


class NotificationsSettings(BaseModel):
    """Section `[notifications]`."""

    private_targets: bool = Field(
        False, description="let messages go to addresses of private networks, too"
    )
    disk_percent: float = Field(
        90, gt=0, le=100, description="the disk of the data folder is low when it is so full"
    )
    certificate_days: int = Field(
        14, ge=1, le=90, description="a certificate that ends within so many days is told"
    )
    smtp_host: str = Field("", description="mail server; without one no e-mail is sent")
    smtp_port: int = Field(587, ge=1, le=65535, description="its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="how the connection to it is kept secret: `starttls`, `tls` or `none`",
    )
    smtp_user: str = Field("", description="user name at the mail server")
    smtp_password: SecretStr = Field(SecretStr(""), description="password at the mail server")
    smtp_from: str = Field("", description="address that e-mail comes from")
