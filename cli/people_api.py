"""What the REST API tells of people, as typed methods."""

from __future__ import annotations

from helvetia.plugins.api import inputs, people, schemas

from .api import Api, parse
from .client import part


class PeopleApi(Api):
    """What a control plane can be asked for about people."""

    async def sessions(self, user: str | None) -> list[people.Session]:
        """Return sessions, one's own if it is not said whose."""
        return await self._all("/sessions", people.Session, query={"user": user})

    async def end_session(self, id: str) -> None:
        """End a session."""
        await self.client.request("DELETE", f"/sessions/{part(id)}")

    async def end_all_sessions(self, user: str | None) -> people.Ended:
        """End all sessions of somebody."""
        answer = await self.client.request("DELETE", "/sessions", query={"user": user})
        return parse(people.Ended, answer)

    async def accounts(self) -> list[people.Account]:
        """Return the ways in which one signs in."""
        return await self._all("/accounts", people.Account)

    async def disconnect(self, provider: str) -> None:
        """Give one of them up."""
        await self.client.request("DELETE", f"/accounts/{part(provider)}")

    async def teams(self) -> list[people.Team]:
        """Return the teams."""
        return await self._all("/teams", people.Team)

    async def create_team(self, team: people.NewTeam) -> people.Team:
        """Make a team."""
        answer = await self.client.request("POST", "/teams", body=team.model_dump())
        return parse(people.Team, answer)

    async def delete_team(self, team: str) -> None:
        """Delete a team."""
        await self.client.request("DELETE", f"/teams/{part(team)}")

    async def leave(self, team: str) -> None:
        """Leave a team."""
        await self.client.request("DELETE", f"/memberships/{part(team)}")

    async def members(self, team: str) -> list[people.Member]:
        """Return who is in a team."""
        return await self._all(_members(team), people.Member)

    async def add_member(self, team: str, member: people.NewMember) -> people.Member:
        """Take somebody into a team."""
        answer = await self.client.request("POST", _members(team), body=member.model_dump())
        return parse(people.Member, answer)

    async def change_role(self, team: str, user: str, wanted: people.RoleChange) -> people.Member:
        """Give a member another role."""
        path = f"{_members(team)}/{part(user)}"
        answer = await self.client.request("PATCH", path, body=wanted.model_dump())
        return parse(people.Member, answer)

    async def remove_member(self, team: str, user: str) -> None:
        """Take somebody out of a team."""
        await self.client.request("DELETE", f"{_members(team)}/{part(user)}")

    async def shared(self, team: str) -> list[people.SharedVariable]:
        """Return the names of variables that the services of a team share."""
        return await self._all(f"/teams/{part(team)}/environment", people.SharedVariable)

    async def change_shared(
        self, team: str, change: inputs.EnvironmentChange
    ) -> list[people.SharedVariable]:
        """Set and unset variables that the services of a team share."""
        path = f"/teams/{part(team)}/environment"
        answer = await self.client.request("PATCH", path, body=change.model_dump(), repeat=True)
        return parse(schemas.Page[people.SharedVariable], answer).items

    async def invitations(self, team: str) -> list[people.Invitation]:
        """Return the invitations to a team, without their secrets."""
        return await self._all(_invitations(team), people.Invitation)

    async def invite(self, team: str, wanted: people.NewInvitation) -> people.Invitation:
        """Make an invitation; its link is in the answer and nowhere else."""
        answer = await self.client.request("POST", _invitations(team), body=wanted.model_dump())
        return parse(people.Invitation, answer)

    async def withdraw(self, team: str, id: str) -> None:
        """Make an invitation worthless."""
        await self.client.request("DELETE", f"{_invitations(team)}/{part(id)}")


def _members(team: str) -> str:
    return f"/teams/{part(team)}/members"


def _invitations(team: str) -> str:
    return f"/teams/{part(team)}/invitations"
