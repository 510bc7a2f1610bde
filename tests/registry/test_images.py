"""What builders hand on is read with distrust."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from helvetia import OCI_IMAGE, Artifact, BuildFailed
from helvetia.plugins.registry.common.images import read_image
from helvetia.testing import Lines
from helvetia.testing.images import write_image

from .conftest import SERVICE, MakeRegistry
from .server import RegistryServer

LAYERS: tuple[dict[str, bytes], ...] = ({"a": b"one"}, {"b": b"two" * 1000})


def entries(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar if m.isreg()}  # type: ignore[union-attr]


def pack(archive: Path, files: Mapping[str, bytes | tuple[bytes, str]]) -> Path:
    """Write a tar; a pair is a link of that type and its target."""
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, tuple):
                member.type, member.linkname = content
                tar.addfile(member)
                continue
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


def saved(files: dict[str, bytes]) -> dict[str, Any]:
    """The one entry of manifest.json."""
    entry: dict[str, Any] = json.loads(files["manifest.json"])[0]
    return entry


def test_all_forms_hold_the_same_image(tmp_path: Path) -> None:
    plain = read_image(write_image(tmp_path / "plain.tar", LAYERS))
    layout = read_image(write_image(tmp_path / "layout.tar", LAYERS, layout=True))
    packed = read_image(write_image(tmp_path / "packed.tar", LAYERS, compressed=True))
    assert plain.id == layout.id == packed.id
    assert [layer.diff_id for layer in plain.layers] == [layer.diff_id for layer in packed.layers]
    assert [layer.compressed for layer in (*plain.layers, *packed.layers)] == [
        False, False, True, True,
    ]  # fmt: skip


def test_layers_may_be_links_as_docker_writes_them(tmp_path: Path) -> None:
    archive = write_image(tmp_path / "a.tar", [LAYERS[0], LAYERS[0]])
    files = entries(archive)
    entry = saved(files)
    layer = entry["Layers"][0]
    for kind, target in ((tarfile.SYMTYPE, f"../{layer}"), (tarfile.LNKTYPE, layer)):
        entry["Layers"] = [layer, "1234/layer.tar"]
        links: dict[str, bytes | tuple[bytes, str]]
        links = {"manifest.json": json.dumps([entry]).encode(), "1234/layer.tar": (kind, target)}
        image = read_image(pack(tmp_path / "b.tar", {**files, **links}))
        assert image.layers[0] == image.layers[1]


def test_an_index_beside_documents_about_the_build_is_read(tmp_path: Path) -> None:
    archive = write_image(tmp_path / "a.tar", LAYERS, layout=True)
    files = entries(archive)
    index = json.loads(files["index.json"])
    proof = {"vnd.docker.reference.type": "attestation-manifest"}
    index["manifests"].append({"digest": f"sha256:{'0' * 64}", "annotations": proof})
    inner = json.dumps(index).encode()
    outer = write_nested(files, inner)
    assert read_image(pack(tmp_path / "b.tar", outer)).id == read_image(archive).id


def write_nested(files: dict[str, bytes], inner: bytes) -> dict[str, bytes]:
    """Hide an index behind another one."""
    from hashlib import sha256

    name = sha256(inner).hexdigest()
    media = "application/vnd.oci.image.index.v1+json"
    outer = {"manifests": [{"mediaType": media, "digest": f"sha256:{name}"}]}
    return {**files, f"blobs/sha256/{name}": inner, "index.json": json.dumps(outer).encode()}


def change(edit: Callable[[dict[str, bytes]], object]) -> Callable[[Path], Path]:
    """A good image with something done to its files."""

    def made(folder: Path) -> Path:
        files = entries(write_image(folder / "good.tar", LAYERS))
        edit(files)
        return pack(folder / "bad.tar", files)

    return made


def edit_manifest(**values: Any) -> Callable[[Path], Path]:
    def edit(files: dict[str, bytes]) -> None:
        files["manifest.json"] = json.dumps([{**saved(files), **values}]).encode()

    return change(edit)


def edit_layer(content: bytes) -> Callable[[Path], Path]:
    return change(lambda files: files.update({saved(files)["Layers"][1]: content}))


def edit_config(content: bytes) -> Callable[[Path], Path]:
    return change(lambda files: files.update({saved(files)["Config"]: content}))


def written(content: bytes) -> Callable[[Path], Path]:
    def made(folder: Path) -> Path:
        (folder / "bad.tar").write_bytes(content)
        return folder / "bad.tar"

    return made


def cut(folder: Path) -> Path:
    content = write_image(folder / "good.tar", LAYERS).read_bytes()
    return written(content[: len(content) // 2])(folder)


def a_folder(folder: Path) -> Path:
    (folder / "bad.tar").mkdir()
    return folder / "bad.tar"


def long_header(folder: Path) -> Path:
    with tarfile.open(folder / "bad.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("x" * 2_000_000))
    return folder / "bad.tar"


def links_in_a_ring(folder: Path) -> Path:
    ring = {"a": (tarfile.SYMTYPE, "b"), "b": (tarfile.SYMTYPE, "a"), "c": (tarfile.CHRTYPE, "")}
    files = entries(write_image(folder / "good.tar", LAYERS))
    entry = {**saved(files), "Layers": ["a", "c"]}
    files["manifest.json"] = json.dumps([entry]).encode()
    return pack(folder / "bad.tar", {**files, **ring})


def forged_layout(folder: Path) -> Path:
    files = entries(write_image(folder / "good.tar", LAYERS, layout=True))
    for name in files:
        if name.startswith("blobs/") and b"rootfs" in files[name]:
            files[name] = files[name].replace(b"amd64", b"arm64")
    return pack(folder / "bad.tar", files)


GARBAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "nothing": (written(b""), "cannot be read"),
    "no tar": (written(b"hello" * 1000), "cannot be read"),
    "cut off": (cut, "cannot be read"),
    "a folder": (a_folder, "cannot be read"),
    "gone": (lambda folder: folder / "no.tar", "gone"),
    "a long header": (long_header, "header over 1 MiB"),
    "an empty tar": (lambda folder: pack(folder / "bad.tar", {}), "neither manifest.json nor"),
    "links in a ring": (links_in_a_ring, "has no file 'a'"),
    "no image": (change(lambda f: f.update({"manifest.json": b"[]"})), "holds 0 images"),
    "no JSON": (change(lambda f: f.update({"manifest.json": b"\xff{"})), "cannot be read"),
    "a deep JSON": (change(lambda f: f.update({"manifest.json": b"[" * 10**6})), "cannot be read"),
    "other JSON": (change(lambda f: f.update({"manifest.json": b'[{"Config": 1}]'})), "cannot be"),
    "a path out of it": (edit_manifest(Config="../../../etc/passwd"), "has no file"),
    "too few layers": (edit_manifest(Layers=[]), "names 2 layers and has 0"),
    "a missing layer": (edit_manifest(Layers=["x", "y"]), "has no file 'x'"),
    "no configuration": (edit_config(b"{}"), "cannot be read"),
    "a huge configuration": (edit_config(b" " * 9_000_000), "too much"),
    "another layer": (edit_layer(b"something else"), "not the one it should be"),
    "a damaged layer": (edit_layer(gzip.compress(b"x" * 10**6)[:-9] + b"y" * 9), "damaged"),
    "a bomb": (edit_layer(gzip.compress(bytes(50_000_000), 1)), "not the one it should be"),
    "an unknown compression": (edit_layer(b"\x28\xb5\x2f\xfd1234"), "zstd"),
    "a forged layout": (forged_layout, "not what its name says"),
}


@pytest.mark.parametrize("what", GARBAGE)
async def test_garbage_is_refused_in_words(
    what: str, tmp_path: Path, server: RegistryServer, make_registry: MakeRegistry
) -> None:
    make, said = GARBAGE[what]
    registry = make_registry(server.url)
    artifact = Artifact(kind=OCI_IMAGE, location=str(make(tmp_path)), processes={})
    with pytest.raises(BuildFailed, match=said) as failed:
        await registry.push(artifact, SERVICE, Lines())
    assert failed.value.hint
    assert len(failed.value.message) < 500
    assert list(await registry.list(SERVICE)) == []


@pytest.mark.parametrize(
    "label",
    ["traefik.enable", "Traefik.HTTP.Routers.x.rule", "com.docker.swarm.x", "helvetia.service"],
)
def test_labels_that_somebody_obeys_are_refused(label: str, tmp_path: Path) -> None:
    archive = write_image(tmp_path / "a.tar", LAYERS, config={"Labels": {"a": "b", label: "x"}})
    with pytest.raises(BuildFailed, match="label") as failed:
        read_image(archive)
    assert label in failed.value.message
    assert "LABEL" in failed.value.hint


def test_other_labels_are_nobodys_business(tmp_path: Path) -> None:
    labels = {"org.opencontainers.image.title": "x", "my.traefik.rule": "y"}
    image = read_image(write_image(tmp_path / "a.tar", LAYERS, config={"Labels": labels}))
    assert json.loads(image.labelled({"c": "d"}).config)["config"]["Labels"] == {**labels, "c": "d"}
    assert image.labelled({"c": "d"}).id != image.id
