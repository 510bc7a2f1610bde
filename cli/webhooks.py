"""`helvetia webhook`: what lets a Git host deploy a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .running import CHANGE, Json, Service, run

if TYPE_CHECKING:
    from .session import Session

app = typer.Typer()
webhook = typer.Typer(help="Deploy on push: the webhook of a service, and what came by it.")
app.add_typer(webhook, name="webhook", rich_help_panel=CHANGE)

Delivery = Annotated[
    str, typer.Argument(metavar="ID", help="Id, from `helvetia webhook deliveries SERVICE`.")
]


@webhook.command()
def create(
    service: Service,
    path: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Only pushes that change such files are deployed; may be given several times.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the webhook, or new secrets for it.

    They are printed this once.

    Give the URL and the secret to GitHub, GitLab, Gitea or Forgejo, for the event push. The
    deploy URL is for scripts: a POST to it deploys, and whoever has it may.
    """

    async def act(session: Session) -> None:
        from helvetia.plugins.webhooks.shapes import NewWebhook

        from .api import validated

        wanted = validated(NewWebhook, {"paths": path or []}, names={"paths": "--path"})
        made = await session.api.create_webhook(service, wanted)
        if session.out.as_json:
            session.out.json(made)
            return
        session.out.facts(
            [
                ("url", made.url),
                ("secret", made.secret or ""),
                ("deploy url", made.deploy_url or ""),
                ("paths", ", ".join(made.paths)),
            ]
        )
        session.out.note(("keep the secret and the deploy url, they are not shown again", "dim"))

    run(act, as_json=as_json)


@webhook.command()
def show(service: Service, as_json: Json = False) -> None:
    """Show the webhook, without its secrets."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.webhook(service)
        if session.out.as_json:
            session.out.json(found)
            return
        facts = [("url", found.url), ("paths", ", ".join(found.paths) or "all")]
        session.out.facts([*facts, ("made", rendering.age(found.created_at))])

    run(act, as_json=as_json)


@webhook.command()
def paths(
    service: Service,
    globs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GLOB]...", help="Folders and globs; none: all files matter."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Deploy only pushes that change such files; the secrets stay as they are."""

    async def act(session: Session) -> None:
        from helvetia.plugins.webhooks.shapes import WebhookChange

        from .api import validated
        from .source_api import SourceApi

        wanted = validated(WebhookChange, {"paths": globs or []}, names={"paths": "GLOB"})
        changed = await SourceApi(session.api.client).change_webhook(service, wanted)
        if session.out.as_json:
            session.out.json(changed)
        else:
            session.out.done(f"pushes to {service} matter for {', '.join(changed.paths) or 'all'}")

    run(act, as_json=as_json)


@webhook.command()
def remove(service: Service, as_json: Json = False) -> None:
    """Take no more deliveries for a service."""

    async def act(session: Session) -> None:
        await session.api.remove_webhook(service)
        session.out.done(f"{service} has no webhook any more")
        if session.out.as_json:
            session.out.json({"removed": service})

    run(act, as_json=as_json)


@webhook.command()
def deliveries(
    service: Service,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=200, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List what came, and what was done about it."""

    async def act(session: Session) -> None:
        from . import rendering

        found = await session.api.deliveries(service, limit=limit)
        if session.out.as_json:
            session.out.json(found)
            return
        if not found:
            session.out.note(f"nothing came yet; see `helvetia webhook show {service}`")
            return
        rows = [
            [
                one.id,
                rendering.age(one.created_at),
                one.event,
                one.verdict,
                (one.deployment_id or "")[:8],
                one.reason,
            ]
            for one in found
        ]
        session.out.table(["id", "came", "event", "verdict", "deployment", "reason"], rows)

    run(act, as_json=as_json)


@webhook.command()
def replay(service: Service, id: Delivery, as_json: Json = False) -> None:
    """Do again what a delivery asked for.

    It is the same commit, by the rules of now.
    """

    async def act(session: Session) -> None:
        made = await session.api.replay_delivery(service, id)
        if session.out.as_json:
            session.out.json(made)
        else:
            session.out.done(f"{made.verdict}: {made.reason}")

    run(act, as_json=as_json)
