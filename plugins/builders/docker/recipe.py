"""What is to be built: the Dockerfile, its folder and the options, checked before anything runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from helvetia import BuildFailed, Detection
from helvetia.plugins.builders.common.files import is_file, is_folder, read_text

from .generated import Generated, generate
from .ignore import Ignored

_NAMES = ("Dockerfile", "Containerfile")
_ELSEWHERE = ("docker/Dockerfile", ".docker/Dockerfile", "deploy/Dockerfile", "build/Dockerfile")
_LIMIT = 512 * 1024
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(?P<name>\S+)(?:\s+AS\s+(?P<stage>\S+))?", re.I | re.M)
_COPY_FROM = re.compile(r"^\s*COPY\s+(?:--\S+\s+)*--from=(?P<name>\S+)", re.I | re.M)
_ARG = re.compile(r"^\s*ARG\s+(?P<name>\w+)=(?P<value>\S+)", re.I | re.M)
_VARIABLE = re.compile(r"\$(?:\{(?P<braced>\w+)(?::-[^}]*)?\}|(?P<plain>\w+))")
_MOUNT = re.compile(r"--mount=\S*type=(?P<type>\w+)\S*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What is to be built.

    Attributes:
        title: where the Dockerfile comes from, for people.
        ignore: the content of `<Dockerfile>.dockerignore`, which wins over the folder's own.
        ignored: what of the folder the build does not see.
        processes: what the artifact runs; an empty command is the image's own.
        generated: the Dockerfile is not the tenant's.
    """

    title: str
    dockerfile: str
    ignore: str | None
    ignored: Ignored
    context: Path
    target: str
    arguments: Mapping[str, str]
    processes: Mapping[str, list[str]]
    generated: bool = False

    def classic(self) -> Recipe:
        """Return the recipe for the builder before BuildKit.

        Raises:
            BuildFailed: it has secrets, for which only BuildKit has a safe way.
        """
        if self.generated:
            return replace(self, dockerfile=_MOUNT.sub("", self.dockerfile))
        if found := _MOUNT.search(self.dockerfile):
            what = "secrets" if found["type"] == "secret" else f"mounts of type {found['type']}"
            raise BuildFailed(
                f"`{self.title}` uses {what} (`RUN {found[0][:80]}`), and the engine that builds "
                "has no BuildKit",
                hint="Let the operator name an `image` with BuildKit in section [docker_builder]. "
                "A secret in ARG, ENV or COPY would end in the image.",
            )
        return self

    @property
    def bases(self) -> frozenset[str]:
        """The names of the images that it begins from or copies from, as far as they are plain."""
        values = {found["name"]: found["value"] for found in _ARG.finditer(self.dockerfile)}
        values |= self.arguments

        def filled(match: re.Match[str]) -> str:
            return values.get(match["braced"] or match["plain"], "")

        froms = list(_FROM.finditer(self.dockerfile))
        stages = {found["stage"].lower() for found in froms if found["stage"]}
        names = [found["name"] for found in (*froms, *_COPY_FROM.finditer(self.dockerfile))]
        plain = {_VARIABLE.sub(filled, name).strip("'\"") for name in names}
        return frozenset(
            name
            for name in plain
            if name.lower() not in stages | {"scratch"} and not name.isdigit()
        )


def detect(checkout: Path) -> Detection:
    """Look for a Dockerfile, else for something that one can be written for."""
    for name in _NAMES:
        if is_file(checkout, name):
            return Detection(score=95, reason=f"there is a {name}")
    for name in _ELSEWHERE:
        if is_file(checkout, name):
            return Detection(score=70, reason=f"there is {name}", settings={"dockerfile": name})
    return _generated(generate(checkout))


def _generated(found: Generated | str) -> Detection:
    if isinstance(found, str):
        return Detection(score=0, reason=f"no Dockerfile, and none can be written: {found}")
    return Detection(
        score=found.score,
        reason=f"no Dockerfile; one is written for {found.language}",
        generated={"Dockerfile": found.text, ".dockerignore": found.ignore},
    )


def read_recipe(checkout: Path, settings: Mapping[str, str]) -> Recipe:
    """Read what is to be built.

    Raises:
        BuildFailed: a path leads out of the repository, or there is nothing to build.
    """
    context = _path(settings, "context") or "."
    if not is_folder(checkout, context):
        raise BuildFailed(
            f"`context`: there is no folder `{context}` in the repository",
            hint="Name a folder that is committed; a link may not lead out of the repository.",
        )
    target = settings.get("target", "").strip()
    if target and not _STAGE.fullmatch(target):
        raise BuildFailed(
            f"`target`: {target!r} is no name of a stage", hint="As in `FROM x AS y`."
        )
    arguments = _arguments(settings.get("args", ""))
    wanted = _path(settings, "dockerfile")
    name = wanted or _found(checkout, context)
    if name is None:
        made = generate(checkout / context)
        if isinstance(made, str):
            raise BuildFailed(
                f"there is no Dockerfile, and none can be written: {made}",
                hint="Add a Dockerfile, or say where it is with the option `dockerfile`.",
            )
        return Recipe(
            title=f"Dockerfile written for {made.language}",
            dockerfile=made.text,
            ignore=made.ignore,
            ignored=Ignored(made.ignore),
            context=checkout / context,
            target=target,
            arguments=arguments,
            processes=made.processes,
            generated=True,
        )
    text = read_text(checkout, name, _LIMIT + 1)
    if text is None:
        raise BuildFailed(
            f"`dockerfile`: there is no file `{name}` in the repository",
            hint="Name a file that is committed; a link may not lead out of the repository.",
        )
    if len(text) > _LIMIT:
        raise BuildFailed(f"`{name}` is no Dockerfile: it is larger than {_LIMIT // 1024} kB")
    ignore = read_text(checkout, f"{name}.dockerignore", _LIMIT)
    own = read_text(checkout / context, ".dockerignore", _LIMIT) if ignore is None else ignore
    return Recipe(
        title=name,
        dockerfile=text,
        ignore=ignore,
        ignored=Ignored(own or ""),
        context=checkout / context,
        target=target,
        arguments=arguments,
        processes={"web": []},
    )


def _found(checkout: Path, context: str) -> str | None:
    places = [str(PurePosixPath(context, name)) for name in _NAMES]
    return next((name for name in (*places, *_NAMES) if is_file(checkout, name)), None)


def _path(settings: Mapping[str, str], option: str) -> str | None:
    value = settings.get(option, "").strip()
    if not value:
        return None
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or "\0" in value or "\n" in value:
        raise BuildFailed(
            f"`{option}`: {value!r} leads out of the repository",
            hint="Write a path that begins at the top of the repository, without `..`.",
        )
    return str(path)


def _arguments(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BuildFailed(f"`args`: {str(error).lower()}: {text}", hint="Close it.") from None
    arguments: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not _ARGUMENT.fullmatch(name):
            raise BuildFailed(
                f"`args`: {word!r} is not of the form NAME=value",
                hint="Secret variables are no arguments: a Dockerfile reads one with "
                "`RUN --mount=type=secret,id=NAME`.",
            )
        arguments[name] = value
    return arguments
