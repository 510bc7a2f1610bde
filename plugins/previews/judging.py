"""Whether a pull request gets a preview, and why not."""

from __future__ import annotations

from dataclasses import dataclass

from helvetia.kernel.models import Desired, Service
from helvetia.plugins.webhooks.pulls import PullRequest
from helvetia.plugins.webhooks.verdicts import is_one_of

from .models import Forks, PreviewPolicy

_DEPLOYED = ("opened", "reopened", "synchronize", "ready_for_review", "edited")
_BRANCH = "refs/heads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is done about an event.

    Attributes:
        reason: why.
        deploy: a preview is made, or deployed again.
        close: the preview goes.
        ask_author: only if the author may write to the repository.
    """

    reason: str
    deploy: bool = False
    close: bool = False
    ask_author: bool = False


def judge(
    pull: PullRequest, service: Service, policy: PreviewPolicy | None, *, repository_id: str
) -> Judgement:
    """Decide what is done about an event.

    Args:
        pull: what the Git host says.
        service: whose hook it came to.
        policy: None: the service has no previews.
        repository_id: the host's number of the service's repository, "" if it is not known.
    """
    what = f"pull request {pull.number}"
    if not _is_of(pull, service, repository_id):
        return Judgement(reason=f"{what} is of another repository")
    if pull.is_closed:
        return Judgement(reason=f"{what} was closed", close=True)
    if policy is None:
        return Judgement(reason=f"{service.name} has no previews of pull requests")
    if pull.action not in _DEPLOYED:
        return Judgement(reason=f"{what} was {pull.action or 'touched'}: that changes no preview")
    tracked = (service.source_ref or pull.default_branch).removeprefix(_BRANCH)
    if pull.target != tracked:
        return Judgement(
            reason=f"{what} is for `{pull.target}`, the service follows `{tracked}`", close=True
        )
    if pull.is_draft:
        return Judgement(reason=f"{what} is a draft", close=pull.action == "converted_to_draft")
    if service.desired is not Desired.RUNNING:
        return Judgement(reason=f"the service is {service.desired.value}")
    if pull.is_fork and policy.forks is Forks.NEVER:
        return Judgement(
            reason=f"{what} is from a fork, whose code is a stranger's; previews of forks are off"
        )
    return Judgement(reason=f"preview of {what}", deploy=True, ask_author=pull.is_fork)


def _is_of(pull: PullRequest, service: Service, repository_id: str) -> bool:
    if not pull.urls or (repository_id and pull.repository_id == repository_id):
        return True
    return is_one_of(pull.urls, service.source_url)
