"""What people do with channels."""

from __future__ import annotations

from collections.abc import Sequence

from helvetia import Call, InvalidInput, Policy, Resource
from helvetia.kernel import secrets
from helvetia.kernel.errors import Conflict, NotFound
from helvetia.kernel.models import Service, Team
from helvetia.kernel.models.base import new_id
from helvetia.plugins.api.pagination import PageQuery, page_of_newest
from helvetia.plugins.api.schemas import Page

from . import shapes
from .models import Channel, Message
from .notices import put_test
from .sending import Outbox, place
from .watching import forget_channel

_CHANNELS = "/api/v1/teams/{team}/notifications"
_CHANNEL = f"{_CHANNELS}/{{channel}}"
_MOST = 50


def make_resource(outbox: Outbox) -> Resource:
    """Make the endpoints; a test is sent by the control plane itself."""
    resource = Resource("notifications")

    @resource.get(_CHANNELS, policy=Policy.VIEWER, summary="List channels")
    async def index(call: Call, team: Team, query: PageQuery) -> Page[shapes.Channel]:
        """List where a team is told of what, the newest first."""
        names = await _names(team)
        rows = Channel.filter(team_id=team.id)
        return await page_of_newest(query, rows, show=lambda row: _shown(row, names))

    @resource.post(
        _CHANNELS, policy=Policy.ADMIN, summary="Make a channel", status=201, errors=[Conflict]
    )
    async def create(call: Call, team: Team, body: shapes.NewChannel) -> shapes.Channel:
        """Make a channel. The target is never shown again; a secret that was made is, this once."""
        if await Channel.filter(team_id=team.id).count() >= _MOST:
            raise Conflict(f"a team has at most {_MOST} channels", hint="remove one")
        made = None
        if body.kind == "webhook" and body.secret is None:
            made = secrets.new_token("hvn")
        channel = Channel(
            id=new_id(),
            team_id=team.id,
            name=body.name,
            kind=body.kind,
            topics=list(dict.fromkeys(body.topics)),
            services=await _ids(team, body.services),
        )
        seal = call.platform.seal
        channel.target = seal(body.target, place=place(channel, "target"))
        if secret := body.secret or made:
            channel.secret = seal(secret, place=place(channel, "secret"))
        await channel.save(force_create=True)
        return _shown(channel, await _names(team)).model_copy(update={"secret": made})

    @resource.patch(_CHANNEL, policy=Policy.ADMIN, summary="Change a channel", errors=[NotFound])
    async def change(
        call: Call, team: Team, channel: str, body: shapes.ChannelChange
    ) -> shapes.Channel:
        """Change name, target, topics or services of a channel."""
        row = await _channel(team, channel)
        if body.target is not None:
            try:
                shapes.check_target(row.kind, body.target)
            except ValueError as error:
                raise InvalidInput("target", str(error)) from None
            row.target = call.platform.seal(body.target, place=place(row, "target"))
        if body.name is not None:
            row.name = body.name
        if body.topics is not None:
            row.topics = list(dict.fromkeys(body.topics))
        if body.services is not None:
            row.services = await _ids(team, body.services)
        await row.save()
        return _shown(row, await _names(team))

    @resource.delete(
        _CHANNEL, policy=Policy.ADMIN, summary="Remove a channel", status=204, errors=[NotFound]
    )
    async def remove(call: Call, team: Team, channel: str) -> None:
        """Tell nobody by a channel any more."""
        await forget_channel(await _channel(team, channel))

    @resource.post(
        f"{_CHANNEL}/test",
        policy=Policy.ADMIN,
        summary="Try a channel",
        status=202,
        errors=[NotFound],
    )
    async def test(call: Call, team: Team, channel: str) -> shapes.SentMessage:
        """Send a message that says that the channel works; what became of it is in its messages."""
        message = await put_test(await _channel(team, channel))
        outbox.wake()
        return _told(message)

    @resource.get(
        f"{_CHANNEL}/messages",
        policy=Policy.MEMBER,
        summary="List messages of a channel",
        errors=[NotFound],
    )
    async def messages(
        call: Call, team: Team, channel: str, query: PageQuery
    ) -> Page[shapes.SentMessage]:
        """List what was sent, and what was not and why, the newest first; kept for a week."""
        rows = Message.filter(channel_id=(await _channel(team, channel)).id)
        return await page_of_newest(query, rows, show=_told)

    return resource


async def _channel(team: Team, id: str) -> Channel:
    is_id = id.isalnum() and id.isascii()
    row = await Channel.get_or_none(id=id, team_id=team.id) if is_id else None
    if row is None:
        raise NotFound("there is no such channel", hint="see `helvetia notifications list`")
    return row


async def _names(team: Team) -> dict[str, str]:
    rows = await Service.filter(team_id=team.id).values_list("id", "name")
    return {str(id): str(name) for id, name in rows}


async def _ids(team: Team, names: Sequence[str]) -> list[str]:
    """Return the ids of services of a team.

    Raises:
        InvalidInput: one of them is none.
    """
    known = {name: id for id, name in (await _names(team)).items()}
    for name in names:
        if name not in known:
            raise InvalidInput("services", f"the team has no service {name[:63]}")
    return [known[name] for name in dict.fromkeys(names)]


def _shown(row: Channel, names: dict[str, str]) -> shapes.Channel:
    return shapes.Channel.model_validate(
        {
            "id": row.id,
            "name": row.name,
            "kind": row.kind,
            "topics": row.topics,
            "services": [names[id] for id in row.services if id in names],
            "created_at": row.created_at,
        }
    )


def _told(row: Message) -> shapes.SentMessage:
    return shapes.SentMessage.model_validate(
        {
            "id": row.id,
            "title": row.title,
            "status": row.status,
            "attempts": row.attempts,
            "problem": row.problem,
            "created_at": row.created_at,
        }
    )
