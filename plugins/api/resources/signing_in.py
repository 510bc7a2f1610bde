"""Sign in by a plugin's provider, and out again."""

from __future__ import annotations

import logging
from urllib.parse import quote

from aiohttp import web

from helvetia.kernel import accounts
from helvetia.kernel.contracts.auth import AuthProvider, Identity
from helvetia.kernel.errors import (
    Conflict,
    Forbidden,
    HelvetiaError,
    NoProvider,
    NotFound,
    PluginError,
    Unauthenticated,
)
from helvetia.kernel.http import cookies
from helvetia.kernel.http.access import INVITED, Caller, Policy, identify
from helvetia.kernel.http.bodies import read_form
from helvetia.kernel.http.context import Call
from helvetia.kernel.http.origin import local_path, visitor
from helvetia.kernel.http.routing import Resource
from helvetia.kernel.providers import Entry, plugin_call
from helvetia.plugins.api import connecting, invitations, signed_in
from helvetia.plugins.auth.common import pages

_SECONDS = 30.0
_NEXT = "helvetia_next"
_log = logging.getLogger(__name__)
resource = Resource("auth")


class SignInFailed(HelvetiaError):
    """The provider broke down; why is for the log, not for strangers."""

    code = "sign-in-failed"
    status = 502


@resource.get("/auth", policy=Policy.PUBLIC, summary="Choose how to sign in", media="text/html")
async def choose(call: Call) -> web.Response:
    """Show the ways to sign in, or lead to the only one."""
    family = call.platform.providers.auth
    usable = [entry for entry in family.all() if (await family.check(entry)).ok] or family.all()
    target = local_path(call.request.query.get("next"))
    if len(usable) == 1:
        more = f"?next={quote(target, safe='/')}" if target != "/" else ""
        return web.Response(status=303, headers={"Location": f"/auth/{usable[0].name}{more}"})
    return pages.choose([(f"/auth/{one.name}", one.provider.title) for one in usable], target)


@resource.get(
    "/auth/{provider}",
    policy=Policy.PUBLIC,
    summary="Begin to sign in",
    media="text/html",
    errors=[NotFound, SignInFailed],
)
async def begin(call: Call, provider: str) -> web.StreamResponse:
    """Show a form or lead to where the person proves who they are; `next` is where to go then."""
    response = await _begin(call, _entry(call, provider))
    if not response.prepared:
        _keep_next(call.request, response, call.request.query.get("next"))
        connecting.forget(call.request, response)
    return _answered(response)


@resource.post(
    "/auth/{provider}/connect",
    policy=Policy.SIGNED_IN,
    summary="Connect one more way to sign in",
    purpose="authentication",
    status=200,
    media="text/html",
    errors=[NotFound, SignInFailed],
)
async def connect(call: Call, provider: str) -> web.StreamResponse:
    """Show or lead to what proves an identity that shall be the signed-in person's as well.

    Only for browser sessions: the identity is connected when the same session comes back with
    the proof.
    """
    entry = _entry(call, provider)
    if call.caller.session_id is None:
        raise Forbidden("only a browser session can connect an identity")
    call.request[INVITED] = True
    response = await _begin(call, entry)
    if not response.prepared:
        form = await read_form(call.request)
        _keep_next(call.request, response, form.get("next"))
        connecting.remember(call, response, entry.name)
    return _answered(response)


@resource.get(
    "/auth/{provider}/complete",
    policy=Policy.PUBLIC,
    summary="Finish to sign in, coming back from another site",
    purpose="authentication",
    media="text/html",
    errors=[Conflict, NotFound, SignInFailed],
)
async def complete(call: Call, provider: str) -> web.StreamResponse:
    """Check the proof and begin a session."""
    entry = _entry(call, provider)
    result = await _ask(call, entry, "complete")
    if isinstance(result, web.StreamResponse):
        return _answered(result)
    caller = await _present(call.request)
    try:
        if caller is not None and connecting.is_meant(call, caller, entry.name):
            return await _connected(call, entry, caller, result)
        return await _signed_in(call, entry, caller, result)
    except HelvetiaError:
        await _tell_refused(entry, result)
        raise


@resource.post(
    "/auth/{provider}/complete",
    policy=Policy.PUBLIC,
    summary="Finish to sign in with a form",
    purpose="authentication",
    media="text/html",
    errors=[Conflict, NotFound, SignInFailed],
)
async def complete_form(call: Call, provider: str) -> web.StreamResponse:
    """Check the proof and begin a session."""
    # Read here first: a form that cannot be read is not the provider's fault.
    _ = await read_form(call.request)
    return await complete(call, provider)


@resource.post("/auth/sign-out", policy=Policy.SIGNED_IN, summary="Sign out", status=303, media="")
async def sign_out(call: Call) -> web.Response:
    """End the browser session."""
    response = web.Response(status=303, headers={"Location": "/"})
    if call.caller.session_id is not None:
        await signed_in.end(call.caller.session_id)
    cookies.forget_session(call.request, response)
    return response


def _entry(call: Call, provider: str) -> Entry[AuthProvider]:
    try:
        return call.platform.providers.auth.get(provider)
    except NoProvider:
        raise NotFound("there is no such way to sign in") from None


async def _present(request: web.Request) -> Caller | None:
    try:
        return await identify(request)
    except Unauthenticated:
        return None


async def _begin(call: Call, entry: Entry[AuthProvider]) -> web.StreamResponse:
    response = await _ask(call, entry, "begin")
    assert isinstance(response, web.StreamResponse)
    return response


async def _ask(call: Call, entry: Entry[AuthProvider], verb: str) -> Identity | web.StreamResponse:
    """Call the provider; its redirects may be raised, as is usual with aiohttp."""
    provider = entry.provider
    if await invitations.held_by(call.request):
        call.request[INVITED] = True
    answer: Identity | web.StreamResponse
    try:
        async with plugin_call(entry.plugin, f"{entry.name}.{verb}", _SECONDS):
            try:
                if verb == "begin":
                    answer = await provider.begin(call.request)
                else:
                    answer = await provider.complete(call.request)
            except web.HTTPException as response:
                answer = response
    except PluginError as error:
        _log.exception("signing in")
        raise SignInFailed(
            f"signing in by {provider.title} does not work at the moment",
            hint="the log of the platform says why",
        ) from error
    if isinstance(answer, web.StreamResponse) and not answer.prepared:
        # With `no-referrer` browsers would send `Origin: null` from the form.
        answer.headers["Referrer-Policy"] = "same-origin"
    return answer


def _answered(response: web.StreamResponse) -> web.StreamResponse:
    """Hand a provider's response on; one that aiohttp raises is raised again."""
    if isinstance(response, web.HTTPException):
        raise response
    return response


async def _signed_in(
    call: Call, entry: Entry[AuthProvider], caller: Caller | None, identity: Identity
) -> web.Response:
    request = call.request
    found = None
    if request.get(INVITED) and await accounts.find(entry.name, identity) is None:
        # Used up before there is an account: a link makes one, not many.
        found = await invitations.claim(cookies.use_up(request, invitations.COOKIE))
    user = await accounts.user_for_identity(entry.name, identity, invited=found is not None)
    if found is not None:
        await invitations.take_in(found, user)
    await _tell_accepted(entry, user.id, identity)
    # A new session, never the old one: its tokens may be known to somebody else.
    if caller is not None and caller.session_id is not None:
        await signed_in.end(caller.session_id)
    if identity.is_renewed:
        await signed_in.end_all(user.id)
    given = await signed_in.begin(call.platform.vault, user, visitor(request))
    target = await _target(request)
    if found is not None and target == invitations.PATH:
        target = "/"
    response = web.Response(status=303, headers={"Location": target})
    cookies.forget_session(request, response)
    cookies.set_session(request, response, given)
    return response


async def _connected(
    call: Call, entry: Entry[AuthProvider], caller: Caller, identity: Identity
) -> web.Response:
    await connecting.connect(caller.user, entry.name, identity)
    await _tell_accepted(entry, caller.user.id, identity)
    response = web.Response(status=303, headers={"Location": await _target(call.request)})
    connecting.forget(call.request, response)
    return response


async def _tell_accepted(entry: Entry[AuthProvider], user_id: str, identity: Identity) -> None:
    async with plugin_call(entry.plugin, f"{entry.name}.accepted", _SECONDS):
        await entry.provider.accepted(user_id, identity)


async def _tell_refused(entry: Entry[AuthProvider], identity: Identity) -> None:
    """Tell the provider, whose trouble must not hide why."""
    try:
        async with plugin_call(entry.plugin, f"{entry.name}.refused", _SECONDS):
            await entry.provider.refused(identity)
    except HelvetiaError:
        _log.exception("refusing an identity")


def _keep_next(request: web.Request, response: web.StreamResponse, said: object) -> None:
    """Remember where to go after the sign-in, which may lead over other sites.

    `/` is where it goes anyway; it only makes an earlier place forgotten.
    """
    if (path := local_path(said)) != "/":
        cookies.give(request, response, _NEXT, path)
    elif cookies.cookie(request, _NEXT):
        cookies.forget(request, response, _NEXT)


async def _target(request: web.Request) -> str:
    """Return where to go: what the form says, or the address, or what was kept at the beginning."""
    form = await read_form(request)
    kept = cookies.use_up(request, _NEXT)
    for said in (form.get("next"), request.query.get("next"), kept):
        if (path := local_path(said)) != "/":
            return path
    return "/"
