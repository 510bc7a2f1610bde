"""A page that tells who serves it, and a health check."""

from __future__ import annotations

import os
import platform

from flask import Flask, Response, render_template

app = Flask(__name__)


@app.get("/")
def index() -> str:
    """Show the page."""
    return render_template(
        "index.html",
        greeting=os.environ.get("GREETING", "Hello from Flask."),
        python=platform.python_version(),
        process=os.getpid(),
    )


@app.get("/healthz")
def healthz() -> Response:
    """Say that requests are answered."""
    return Response("ok\n", mimetype="text/plain")
