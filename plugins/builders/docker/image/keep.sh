# After a build: keep no more of its layers than are wanted.
#
# $1: MiB. $2: the name of the built image. Exit code 3: they cannot be made so few.
set -eu
used() { df -Pm /var/lib/docker | { read -r _; read -r _ _ megabytes _; echo "$megabytes"; }; }

[ "$(used)" -gt "$1" ] || exit 0
docker image prune -f > /dev/null
# Layers of the image are also the cache of BuildKit, which knows which ones were of use last.
[ "$DOCKER_BUILDKIT" = 0 ] || docker image rm "$2" > /dev/null
# It does not count what it writes about them.
docker builder prune -f --keep-storage "$(($1 * 8 / 10))mb" > /dev/null
[ "$(used)" -le "$1" ] || exit 3
