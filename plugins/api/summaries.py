"""Services as lists show them: one statement, however many they are.

Lists are asked for again and again, and few of their rows have changed meanwhile. So what is made
of a row is kept, by all its values: a row that changed is another one.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property, lru_cache
from typing import Any

from pydantic_core import to_json

from helvetia.kernel.database.rows import fetch
from helvetia.kernel.errors import Conflict
from helvetia.kernel.platform import Platform
from helvetia.plugins.api import inputs

from . import schemas
from .views import Url, url_maker

# A row for each domain of a service, with names as the API has them.
_ROWS = """
SELECT s."id", s."name", s."type", s."source_url" AS "source", s."source_ref" AS "ref", s."status",
  CASE s."desired" WHEN 'deleted' THEN 'it is being deleted' ELSE s."status_reason" END
    AS "status_reason",
  CAST(s."settings" AS TEXT) AS "settings", s."created_at", r."number" AS "release",
  COALESCE(r."sha", '') AS "sha", COALESCE(r."message", '') AS "message", d."hostname",
  (SELECT "id" FROM "deployment" WHERE "service_id" = s."id" ORDER BY "number" DESC LIMIT 1)
    AS "deployment_id",
  COALESCE(i."live", 0) AS "live"
FROM (SELECT * FROM "service" WHERE {wanted} ORDER BY "name" LIMIT {limit}) s
LEFT JOIN "release" r ON r."id" = s."live_release_id"
LEFT JOIN (
  SELECT "service_id", COUNT(*) AS "live" FROM "instance" WHERE "status" = 'live'
  GROUP BY "service_id"
) i ON i."service_id" = s."id"
LEFT JOIN "domain" d ON d."service_id" = s."id" AND d."verified_at" IS NOT NULL
ORDER BY s."name", d."hostname"
"""
_KEPT = 1024
_KEPT_PAGES = 64
_pages: dict[tuple[object, ...], tuple[list[dict[str, Any]], str, list[schemas.Service]]] = {}


class _Known(schemas.Service):
    """A service that may be shown more than once, and is never changed."""

    @cached_property
    def _json(self) -> str:
        return self.model_dump_json()


class Listing(schemas.Page[schemas.Service]):
    """A page of services, whose JSON is put together of what is known of its rows."""

    def model_dump_json(self, **options: Any) -> str:
        """Return the page in JSON; without options, as the API shows it."""
        if options or not all(isinstance(one, _Known) for one in self.items):
            return super().model_dump_json(**options)
        items = ",".join(one._json for one in self.items if isinstance(one, _Known))
        return f'{{"items":[{items}],"next":{to_json(self.next).decode()}}}'


async def page(
    platform: Platform, team_ids: Collection[str] | None, *, after: str, limit: int
) -> list[schemas.Service]:
    """Return services by name, from behind `after` on, of some teams or (None) of all."""
    if team_ids is None:
        return await _services(platform, '"name" > ?', after, limit=limit)
    if not team_ids:
        return []
    places = ", ".join("?" for _ in team_ids)
    wanted = f'"name" > ? AND "team_id" IN ({places})'
    return await _services(platform, wanted, after, *team_ids, limit=limit)


async def summary(platform: Platform, service_id: str) -> schemas.Service:
    """Return one service as it is now.

    Raises:
        Conflict: it was deleted this moment.
    """
    found = await _services(platform, '"id" = ?', service_id, limit=1)
    if not found:
        raise Conflict("the service was deleted meanwhile")
    return found[0]


async def _services(
    platform: Platform, wanted: str, *values: str, limit: int
) -> list[schemas.Service]:
    rows = await fetch(_ROWS.format(wanted=wanted, limit=limit), *values)
    url = await url_maker(platform)
    # Where nothing was committed meanwhile, the rows are the very same list.
    question, domain = (wanted, limit, *values), url(platform.domain)
    if (kept := _pages.get(question)) and kept[0] is rows and kept[1] == domain:
        return kept[2]
    if len(_pages) >= _KEPT_PAGES:
        _pages.clear()
    _pages[question] = rows, domain, _shown(platform, rows, url)
    return _pages[question][2]


def _shown(platform: Platform, rows: list[dict[str, Any]], url: Url) -> list[schemas.Service]:
    found: dict[str, tuple[str, tuple[tuple[str, Any], ...], list[str]]] = {}
    for row in rows:
        if row["id"] not in found:
            own = f"{row['name']}.{platform.domain}"
            found[row["id"]] = url(own), tuple(row.items()), [own]
        if row["hostname"] is not None:
            found[row["id"]][2].append(row["hostname"])
    return [_known(url, values, *domains) for url, values, domains in found.values()]


@lru_cache(maxsize=_KEPT)
def _known(url: str, items: tuple[tuple[str, Any], ...], *domains: str) -> _Known:
    row = dict(items)
    shown = {**row, "url": url, "domains": domains, "settings": _settings(row["settings"])}
    return _Known.model_validate(shown)


@lru_cache(maxsize=_KEPT)
def _settings(text: str) -> inputs.ServiceSettings:
    """Read settings, which most services have in common; shown only, never changed."""
    return inputs.ServiceSettings.model_validate_json(text)
