# One build, and a look each second at what it has on the disk.
#
# $1: MiB of layers to keep. $2: MiB of disk. The rest: arguments for `buildah build`.
# Standard input: an archive with the files, the recipe and secrets.
# Standard output: the image as an archive. Standard error: what buildah says.
# Exit code: 3: there are more layers than are to be kept. 4: the image cannot be read. 5: the disk
# is full.
set -eu
keep=$1 limit=$2
shift 2

tar -x -C / -f -
full() {
    kill -9 -1 || : # all but this shell and the first process
    echo 'Error: no space left on device' >&2
    exit 5
}
trap full USR1
used() {
    megabytes=$(du -sm /cache 2> /dev/null) || :
    echo "${megabytes%%[!0-9]*}"
}
while sleep 1; do
    [ "$(used)" -le "$limit" ] || kill -USR1 $$
done > /dev/null 2>&1 < /dev/null &
look=$!
layers=true
[ "$keep" -gt 0 ] || layers=false
buildah bud --format=docker --layers="$layers" --tag=helvetia/build "$@" >&2 < /dev/null &
wait $! || { kill -9 "$look"; exit 1; }
buildah push --quiet helvetia/build docker-archive:/cache/image.tar:helvetia/build:latest >&2 &
wait $! || { kill -9 "$look"; exit 4; }
kill -9 "$look"
cat /cache/image.tar
rm /cache/image.tar
[ "$keep" = 0 ] || [ "$(used)" -le "$keep" ] || exit 3
