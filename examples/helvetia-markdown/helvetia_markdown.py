"""A Helvetia builder for folders of Markdown: every `.md` file becomes a page."""

import html
from collections.abc import Iterable
from pathlib import Path

import markdown

from helvetia import (
    DIRECTORY,
    Artifact,
    BuildContext,
    Builder,
    BuildFailed,
    Detection,
    HealthCheck,
    hookimpl,
)

helvetia_api = 1


class MarkdownBuilder(Builder):
    name = "markdown"
    service_type = "markdown"
    produces = (DIRECTORY,)
    options = {"title": "title of the pages (default: the service's name)"}

    async def detect(self, checkout: Path) -> Detection:
        if (checkout / "index.md").is_file():
            return Detection(score=70, reason="index.md at the root")
        return Detection(score=0, reason="no index.md at the root")

    async def build(self, context: BuildContext) -> Artifact:
        pages = sorted(context.checkout.rglob("*.md"))
        if not pages:
            raise BuildFailed("there is no Markdown file", hint="add an index.md")
        title = html.escape(context.settings.get("title", context.service_name))
        for page in pages:
            target = context.output / page.relative_to(context.checkout).with_suffix(".html")
            target.parent.mkdir(parents=True, exist_ok=True)
            body = markdown.markdown(page.read_text())
            target.write_text(f"<!doctype html><title>{title}</title><main>{body}</main>")
            context.log.line(f"{page.name} -> {target.name}")
        return Artifact(
            kind=DIRECTORY,
            location=str(context.output),
            processes={
                "web": ["{python}", "-m", "http.server", "--bind", "127.0.0.1", "$PORT"],
            },
            health_check=HealthCheck(path="/"),
            read_only=True,
            facts={"pages": str(len(pages))},
        )


@hookimpl
def helvetia_builders() -> Iterable[Builder]:
    yield MarkdownBuilder()
