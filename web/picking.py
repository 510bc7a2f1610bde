"""Pick a repository and a branch of it at GitHub, for a new service."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from .service_page import NAV
from .visit import REFUSALS, Visit

_GITHUB = "/api/v1/github"


async def show(visit: Visit) -> web.Response:
    """Show repositories, or the branches of the one that is named."""
    asked = visit.request.query
    repository, search = asked.get("repository", ""), asked.get("search", "")
    query = {"limit": 50, "cursor": asked.get("cursor"), "search": search or None}
    path = f"{_GITHUB}/branches" if repository else f"{_GITHUB}/repositories"
    refusal, found = None, None
    about = await visit.ask_if_there("GET", _GITHUB)
    if about is not None and about.is_connected:
        try:
            found = await visit.ask(
                "GET", path, query={**query, "repository": repository} if repository else query
            )
        except REFUSALS as error:
            refusal = visit.refusal(error)
    more = {"repository": repository, "search": search, "cursor": found.next if found else ""}
    return visit.show(
        "new_github.html",
        nav=NAV,
        status=refusal.status if refusal else 200,
        refusal=refusal,
        about=about,
        repository=repository,
        url=asked.get("url", ""),
        search=search,
        found=found.items if found else [],
        next=urlencode({name: text for name, text in more.items() if text})
        if found and found.next
        else "",
    )
