"""How the builder `buildah` works."""

from __future__ import annotations

import json
from typing import Any

from helvetia import Artifact, BuildContext, Check, HelvetiaError, Kernel
from helvetia.plugins.builders.docker.container import Container, Limits, Setup, Wanted, running
from helvetia.plugins.builders.docker.context import FOLDER
from helvetia.plugins.builders.docker.images import BuilderImage
from helvetia.plugins.builders.docker.objects import Objects
from helvetia.plugins.builders.docker.recipe import Recipe
from helvetia.plugins.builders.docker.steps import Steps
from helvetia.plugins.builders.docker.watch import Watch
from helvetia.plugins.builders.docker.work import (
    RECIPE,
    archive_of,
    bases,
    bring,
    bring_base,
    build,
    checked,
    options_of,
    packed_secrets,
    proxies,
    receive,
    script,
    secret_options,
    secrets_of,
    tell,
    text_of,
)
from helvetia.plugins.runtimes.docker.engine import Engine
from helvetia.plugins.runtimes.docker.settings import DockerSettings

from .settings import BuildahSettings

_HERE = __package__ or ""
# What the programs of a Dockerfile need as root, and to write the map of a user namespace. In that
# namespace buildah mounts; outside of it nobody does: there is no SYS_ADMIN.
_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP", "SETGID", "SETPCAP", "SETUID",
    "SYS_CHROOT",
)  # fmt: skip
# The engine's own filter has no user namespaces. This one forbids what no build needs.
_FORBIDDEN = (
    "acct", "add_key", "bpf", "clock_settime", "delete_module", "fanotify_init", "finit_module",
    "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl",
    "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "nfsservctl",
    "open_by_handle_at", "perf_event_open", "quotactl", "reboot", "request_key", "settimeofday",
    "swapoff", "swapon", "syslog", "userfaultfd", "vhangup",
)  # fmt: skip


class Building:
    """Builds each image with buildah in a container of its own; see `BuildahBuilder`."""

    def __init__(self, kernel: Kernel) -> None:
        self._settings = kernel.section(BuildahSettings)
        self._engine = Engine(kernel.section(DockerSettings).host)
        self.objects = Objects(self._engine, kernel.installation)
        self._image = BuilderImage(
            self._engine,
            self._settings,
            self.objects.labels(service=""),
            package=_HERE,
            example="quay.io/buildah/stable",
        )

    async def check(self) -> Check:
        """Say whether the engine answers, and whether it has the image to build in."""
        check = await self._engine.check()
        if not check.ok:
            return check
        try:
            found = await self._image.find()
        except HelvetiaError as error:
            return Check(ok=False, reason=error.message)
        if found is None:
            name = self._settings.image
            missing = f"the image {name} is not there: the first build pulls it"
            made = "the image with buildah is not there: the first build makes it"
            return Check(ok=True, reason=f"{check.reason}; {missing if name else made}")
        return check

    async def build(self, context: BuildContext) -> Artifact:
        """Build the image in a container of its own and hand it on as an archive."""
        return await build(context, self._settings, self._build)

    async def _build(
        self, context: BuildContext, recipe: Recipe, limits: Limits, steps: Steps
    ) -> str:
        # The kernel has one build of a service at a time: what is there is of no more use.
        await self.objects.collect(context.service_id)
        wanted = Wanted(
            service_id=context.service_id,
            image=await self._image.obtain(context.log),
            volume="",
            limits=limits,
            setup=_setup(self._settings),
            environment={
                **proxies(),
                "BUILDAH_ISOLATION": "chroot",
                "CONTAINERS_STORAGE_CONF": "/run/storage.conf",
                "CONTAINERS_REGISTRIES_CONF": "/run/registries.conf",
                "TMPDIR": "/cache/tmp",
            },
        )
        async with running(self._engine, self.objects, wanted) as container:
            tell(context, recipe, limits, "buildah")
            watch = Watch(container, limits, self._settings.section)
            async with watch.watching(steps):
                await bring(recipe, container)
                await self._load(context, recipe, container)
                if await self._run(context, recipe, container, steps):
                    raise await watch.failure(steps, died=False)
        return "buildah"

    async def _load(self, context: BuildContext, recipe: Recipe, container: Container) -> None:
        for base in await bases(self._settings, recipe):
            archive = await bring_base(context, container, base)
            pull = ["buildah", "pull", "--quiet", f"docker-archive:{archive}:{base.name}"]
            await checked(container, pull, self._settings.section)

    async def _run(
        self, context: BuildContext, recipe: Recipe, container: Container, steps: Steps
    ) -> int:
        secrets = secrets_of(context)
        given = packed_secrets(secrets)
        argv = [*script(_HERE, "build.sh"), str(len(given)), str(self._settings.disk_mb)]
        argv += options_of(recipe)
        if recipe.ignore is not None:
            argv.append(f"--ignorefile=/{RECIPE}.dockerignore")
        argv += secret_options(secrets)
        argv.append(f"/{FOLDER}")
        return await receive(container, argv, archive_of(context), steps, given=given)


def _setup(settings: BuildahSettings) -> Setup:
    size = settings.disk_mb * 2**20
    host: dict[str, Any] = {
        "CapDrop": ["ALL"],
        "CapAdd": list(_CAPABILITIES),
        "SecurityOpt": [
            "no-new-privileges",
            # The profile of AppArmor forbids to mount, also in a user namespace.
            "apparmor=unconfined",
            f"seccomp={_filter()}",
        ],
        "Ulimits": [{"Name": "fsize", "Soft": size, "Hard": size}],
    }
    return Setup(
        script=text_of(_HERE, "builder.sh"),
        arguments=(settings.registry_mirror,),
        host=host,
        hint="It is started in a container of `image` in section [buildah] and needs user "
        "namespaces (`sysctl user.max_user_namespaces`).",
    )


def _filter() -> str:
    forbidden = {"names": _FORBIDDEN, "action": "SCMP_ACT_ERRNO"}
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbidden]})
