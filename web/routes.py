"""Which address shows what."""

from __future__ import annotations

from collections.abc import Iterator

from helvetia import Page

from . import (
    account,
    acts,
    admin,
    changes,
    deliveries,
    deployments,
    logs,
    metrics,
    new,
    notifications,
    picking,
    plain_logs,
    previews,
    rolling_back,
    services,
    shell,
    static_files,
    team,
    timeline,
)
from .visit import View, page

_SERVICE, _DEPLOYMENT = "/services/{service}", "/deployments/{deployment}"
_NOTIFICATIONS = "/team/{team}/notifications"
_SHOWN: dict[str, View] = {
    "/": services.index,
    "/new": new.begin,
    "/new/github": picking.show,
    _SERVICE: timeline.show,
    f"{_SERVICE}/deployments": services.deployments,
    f"{_SERVICE}/instances": services.instances,
    f"{_SERVICE}/logs": logs.of_service,
    f"{_SERVICE}/log.txt": plain_logs.of_service,
    f"{_SERVICE}/metrics": metrics.show,
    f"{_SERVICE}/shell": shell.show,
    f"{_SERVICE}/environment": services.environment,
    f"{_SERVICE}/environment/unset": changes.ask_unset,
    f"{_SERVICE}/domains": changes.domains,
    f"{_SERVICE}/domains/{{hostname}}/remove": changes.ask_remove_domain,
    f"{_SERVICE}/releases": services.releases,
    f"{_SERVICE}/rollback": rolling_back.ask,
    f"{_SERVICE}/deliveries": deliveries.index,
    f"{_SERVICE}/deliveries/{{delivery}}": deliveries.show,
    f"{_SERVICE}/webhook/renew": deliveries.ask_renew,
    f"{_SERVICE}/webhook/remove": deliveries.ask_remove,
    f"{_SERVICE}/previews": previews.index,
    f"{_SERVICE}/previews/off": previews.ask_off,
    f"{_SERVICE}/previews/{{number}}/remove": previews.ask_remove,
    f"{_SERVICE}/settings": changes.show_settings,
    f"{_SERVICE}/danger": changes.danger,
    f"{_SERVICE}/stop": acts.ask_stop,
    f"{_SERVICE}/clear-cache": acts.ask_clear_cache,
    f"{_SERVICE}/delete": acts.ask_delete,
    _DEPLOYMENT: deployments.show,
    f"{_DEPLOYMENT}/log.txt": plain_logs.of_deployment,
    f"{_DEPLOYMENT}/cancel": deployments.ask_cancel,
    "/account": account.show,
    "/account/tokens/{token}/revoke": account.ask_revoke,
    "/account/sessions/end": account.ask_end_all,
    "/account/sessions/{session}/end": account.ask_end_session,
    "/account/{provider}/disconnect": account.ask_disconnect,
    "/team": team.begin,
    "/team/{team}": team.show,
    "/team/{team}/members/{user}/remove": team.ask_remove,
    _NOTIFICATIONS: notifications.index,
    f"{_NOTIFICATIONS}/{{channel}}": notifications.show,
    f"{_NOTIFICATIONS}/{{channel}}/remove": notifications.ask_remove,
    "/admin/plugins": admin.plugins,
    "/admin/plugins/checks": admin.checks,
    "/admin/plugins/{plugin}/disable": admin.ask_disable,
    "/admin/workers": admin.workers,
    "/admin/audit": admin.audit,
}
_DONE: dict[str, View] = {
    "/new": new.go_on,
    f"{_SERVICE}/deploy": acts.deploy,
    f"{_SERVICE}/restart": acts.restart,
    f"{_SERVICE}/rollback": acts.rollback,
    f"{_SERVICE}/start": acts.start,
    f"{_SERVICE}/stop": acts.stop,
    f"{_SERVICE}/clear-cache": acts.clear_cache,
    f"{_SERVICE}/delete": acts.delete,
    f"{_SERVICE}/environment": changes.set_variables,
    f"{_SERVICE}/environment/unset": changes.unset,
    f"{_SERVICE}/domains": changes.add_domain,
    f"{_SERVICE}/domains/{{hostname}}/verify": changes.verify_domain,
    f"{_SERVICE}/domains/{{hostname}}/remove": changes.remove_domain,
    f"{_SERVICE}/previews": previews.set_policy,
    f"{_SERVICE}/previews/off": previews.switch_off,
    f"{_SERVICE}/previews/{{number}}/remove": previews.remove,
    f"{_SERVICE}/settings": changes.change_settings,
    f"{_SERVICE}/webhook": deliveries.make,
    f"{_SERVICE}/webhook/remove": deliveries.remove,
    f"{_SERVICE}/deliveries/{{delivery}}/replay": deliveries.replay,
    f"{_DEPLOYMENT}/cancel": deployments.cancel,
    "/account/tokens": account.create_token,
    "/account/tokens/{token}/revoke": account.revoke,
    "/account/sessions/end": account.end_all,
    "/account/sessions/{session}/end": account.end_session,
    "/account/{provider}/disconnect": account.disconnect,
    "/team": team.create,
    "/team/{team}/invitations": team.invite,
    "/team/{team}/invitations/{invitation}/withdraw": team.withdraw,
    "/team/{team}/members/{user}": team.change,
    "/team/{team}/members/{user}/remove": team.remove,
    _NOTIFICATIONS: notifications.create,
    f"{_NOTIFICATIONS}/{{channel}}": notifications.change,
    f"{_NOTIFICATIONS}/{{channel}}/test": notifications.test,
    f"{_NOTIFICATIONS}/{{channel}}/remove": notifications.remove,
    "/admin/plugins/{plugin}/disable": admin.disable,
    "/admin/plugins/{plugin}/enable": admin.enable,
}


def pages() -> Iterator[Page]:
    """Return all pages; only style and scripts are for everybody."""
    for path, view in _SHOWN.items():
        yield Page(method="GET", path=path, handler=page(view))
    for path, view in _DONE.items():
        yield Page(method="POST", path=path, handler=page(view))
    yield Page(method="GET", path="/static/{name}", handler=static_files.serve, public=True)
