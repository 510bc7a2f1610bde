# One build, and the end of what it was given.
#
# $1: bytes of the archive with secrets that comes on standard input. $2: MiB of layers to keep.
# $3: the name of the image. The rest: arguments for `docker build`.
# Standard output: the image as an archive. Standard error: what `docker build` says.
# Exit code: 3: there are more layers than are to be kept. 4: the image cannot be read.
set -eu
bytes=$1 limit=$2 image=$3
shift 3
secrets=/run/build-secrets

if [ "$bytes" -gt 0 ]; then
    mkdir -m 700 "$secrets"
    head -c "$bytes" | tar -x -C "$secrets" -f -
fi
docker build --tag="$image" "$@" >&2 < /dev/null || exit 1
docker save "$image" || exit 4
rm -rf "$secrets" /context /recipe /base.tar
df -Pm /var/lib/docker | {
    read -r _
    read -r _ _ used _
    [ "$limit" = 0 ] || [ "$used" -le "$limit" ] || exit 3
}
