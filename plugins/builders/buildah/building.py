"""How the builder `buildah` works."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from helvetia import BuildContext, Check, HelvetiaError, Kernel
from helvetia.plugins.builders.docker.container import Container, Limits, Setup, running
from helvetia.plugins.builders.docker.flow import Flow
from helvetia.plugins.builders.docker.images import BaseImage
from helvetia.plugins.builders.docker.recipe import Recipe
from helvetia.plugins.builders.docker.steps import Steps
from helvetia.plugins.builders.docker.work import RECIPE, bring_base, checked, proxies, text_of

from .settings import BuildahSettings

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


class Building(Flow):
    """Builds each image with buildah in a container of its own; see `BuildahBuilder`."""

    package = __package__ or ""
    example = "quay.io/buildah/stable"
    cache = "buildah-cache"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, kernel.section(BuildahSettings))

    async def check(self) -> Check:
        """Say whether the engine answers, and whether it has the image to build in."""
        check = await super().check()
        if not check.ok:
            return check
        try:
            found = await self.image.find()
        except HelvetiaError as error:
            return Check(ok=False, reason=error.message)
        if found is None:
            name = self.settings.image
            missing = f"the image {name} is not there: the first build pulls it"
            made = "the image with buildah is not there: the first build makes it"
            return Check(ok=True, reason=f"{check.reason}; {missing if name else made}")
        return check

    async def _build(
        self, context: BuildContext, recipe: Recipe, limits: Limits, steps: Steps
    ) -> str:
        # The kernel has one build of a service at a time: what is there is of no more use.
        await self.objects.collect(context.service_id)
        wanted = await self._wanted(context, limits)
        async with running(self.engine, self.objects, wanted) as container:
            fits = await self._through(context, recipe, container, steps, "buildah")
        if not fits:
            await self._too_large(context)
        return "buildah"

    async def _load(self, context: BuildContext, container: Container, base: BaseImage) -> None:
        archive = await bring_base(context, container, base)
        pull = ["buildah", "pull", "--quiet", f"docker-archive:{archive}:{base.name}"]
        await checked(container, pull, self.settings.section)

    def _options(self, recipe: Recipe, container: Container) -> Sequence[str]:
        own = [str(self.settings.disk_mb)]
        return own if recipe.ignore is None else [*own, f"--ignorefile=/{RECIPE}.dockerignore"]

    def _setup(self) -> Setup:
        size = self.settings.disk_mb * 2**20
        return Setup(
            script=text_of(self.package, "builder.sh"),
            arguments=(self.settings.registry_mirror,),
            host={
                "CapDrop": ["ALL"],
                "CapAdd": list(_CAPABILITIES),
                "SecurityOpt": [
                    "no-new-privileges",
                    # The profile of AppArmor forbids to mount, also in a user namespace.
                    "apparmor=unconfined",
                    f"seccomp={_filter()}",
                ],
                "Ulimits": [{"Name": "fsize", "Soft": size, "Hard": size}],
            },
            hint="It is started in a container of `image` in section [buildah] and needs user "
            "namespaces (`sysctl user.max_user_namespaces`).",
        )

    def _environment(self) -> Mapping[str, str]:
        return {
            **proxies(),
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": "/run/storage.conf",
            "CONTAINERS_REGISTRIES_CONF": "/run/registries.conf",
            "TMPDIR": "/cache/tmp",
        }


def _filter() -> str:
    forbidden = {"names": _FORBIDDEN, "action": "SCMP_ACT_ERRNO"}
    return json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [forbidden]})
