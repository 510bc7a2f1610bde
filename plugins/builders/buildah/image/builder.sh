# The first process of a builder container: says how buildah stores and pulls, and ends when
# standard input does, which is when nobody needs it any more.
#
# $1: after how many seconds nobody can need it any more, heard of or not. $2: URL of a mirror of
# Docker Hub, or nothing.
# Standard output: "ready buildah".
set -eu

# What a build that was killed was at is of no use.
rm -rf /cache/tmp
mkdir -p /cache/tmp
: > /cache/used
store() {
    printf '[storage]\ndriver = "%s"\ngraphroot = "/cache/%s"\nrunroot = "/run/containers"\n' \
        "$1" "$1" > /run/storage.conf
}
# Where the kernel has no overlays in user namespaces, files are copied.
store overlay
buildah images > /dev/null 2>&1 || { store vfs; buildah images > /dev/null; }
buildah rm --all > /dev/null
{
    echo 'unqualified-search-registries = ["docker.io"]'
    mirror=${2#*://}
    if [ -n "$mirror" ]; then
        printf '[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "%s"\n' \
            "${mirror%/}"
        case "$2" in http://*) echo 'insecure = true' ;; esac
    fi
} > /run/registries.conf
echo ready buildah
exec timeout "$1" cat > /dev/null
