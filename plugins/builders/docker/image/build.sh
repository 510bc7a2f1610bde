# One build, and the end of what it was given.
#
# $1: MiB of layers to keep. $2: the name of the image. The rest: arguments for `docker build`.
# Standard input: an archive with the files, the recipe and secrets.
# Standard output: the image as an archive. Standard error: what `docker build` says.
# Exit code: 3: there are more layers than are to be kept. 4: the image cannot be read.
set -eu
limit=$1 image=$2
shift 2

tar -x -C / -f -
docker build --tag="$image" "$@" >&2 < /dev/null || exit 1
docker save "$image" || exit 4
rm -rf /run/build-secrets /context /recipe /base.tar
df -Pm /var/lib/docker | {
    read -r _
    read -r _ _ used _
    [ "$limit" = 0 ] || [ "$used" -le "$limit" ] || exit 3
}
