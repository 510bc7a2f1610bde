"""Which address shows what."""

from __future__ import annotations

from collections.abc import Iterator

from helvetia import Page

from . import deployments, plain_logs, plugins, services, static_files
from .visit import View, page

_SHOWN: dict[str, View] = {
    "/": services.index,
    "/services/{service}": services.show,
    "/services/{service}/log": services.log,
    "/services/{service}/log.txt": plain_logs.of_service,
    "/deployments/{deployment}": deployments.show,
    "/deployments/{deployment}/log.txt": plain_logs.of_deployment,
    "/plugins": plugins.index,
}
_DONE: dict[str, View] = {
    "/services/{service}/deploy": services.deploy,
    "/services/{service}/restart": services.restart,
    "/services/{service}/rollback": services.rollback,
    "/services/{service}/start": services.start,
    "/services/{service}/stop": services.stop,
    "/deployments/{deployment}/cancel": deployments.cancel,
}


def pages() -> Iterator[Page]:
    """Return all pages; only style and scripts are for everybody."""
    for path, view in _SHOWN.items():
        yield Page(method="GET", path=path, handler=page(view))
    for path, view in _DONE.items():
        yield Page(method="POST", path=path, handler=page(view))
    yield Page(method="GET", path="/static/{name}", handler=static_files.serve, public=True)
