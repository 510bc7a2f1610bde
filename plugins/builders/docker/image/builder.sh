# The first process of a builder container: a disk of limited size, an engine on it, and an end
# when the engine ends or standard input does, which is when nobody needs it any more.
#
# $1: after how many seconds nobody can need it any more, heard of or not. $2: MiB of the disk.
# $3: URL of a mirror of Docker Hub, or nothing.
# Standard output: "ready buildkit" or "ready classic".
set -eu

life=$1
shift
disk=/cache/$1.ext4
boot=$(cat /proc/sys/kernel/random/boot_id)
log=/run/dockerd.log
exec 3<&0

# The resolver of the engine outside is at 127.0.0.11. BuildKit takes loopback addresses out and
# asks a public server instead, but it does not know this one when it is written so.
if grep -q '127\.0\.0\.11' /etc/resolv.conf; then
    sed 's/127\.0\.0\.11/::ffff:7f00:b/' /etc/resolv.conf > /run/resolv.conf
    cat /run/resolv.conf > /etc/resolv.conf
fi

# With version 2 of control groups a group with processes has no groups below.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    while read -r pid; do
        echo "$pid" > /sys/fs/cgroup/init/cgroup.procs || :
    done < /sys/fs/cgroup/cgroup.procs
    sed 's/[^ ][^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
fi

# Devices that came after this container: where one cannot be opened, only the name of its disk is
# known, and that is the same in all builders.
devices() {
    for loop in /sys/block/loop[0-9]*; do
        [ -b "/dev/${loop##*/}" ] || mknod "/dev/${loop##*/}" b 7 "${loop##*loop}" || :
    done
}

# Nothing waits until it is safe on the real disk, so that the end of a build is quick. What the
# kernel holds survives every crash but its own, after which the layers are built anew.
attach() {
    if [ ! -f "$disk" ] || [ "$(cat /cache/boot)" != "$boot" ]; then
        rm -rf /cache/*
        truncate -s "$1M" "$disk.new"
        mkfs.ext4 -q -m 0 -O ^has_journal -E nodiscard "$disk.new"
        echo "$boot" > /cache/boot
        mv "$disk.new" "$disk"
    fi
    # A builder that was killed may still be letting go of it: mounted twice it would be spoilt.
    while devices && [ -n "$(losetup -j "$disk" 2> /dev/null)" ]; do
        sleep 0.1
    done
    for _ in 1 2 3 4 5; do
        # Another builder may take the same device at the same time.
        device=$(losetup -f)
        [ -e "$device" ] || mknod "$device" b 7 "${device#/dev/loop}"
        mount -o loop,noatime,discard,nobarrier "$disk" /var/lib/docker && break
    done
    mountpoint -q /var/lib/docker || exit 1
    # What waits to be written when a build is cancelled has to be before the builder is gone.
    limits=/sys/class/bdi/$(mountpoint -d /var/lib/docker)
    { echo $((64 << 20)) > "$limits/max_bytes" && echo 1 > "$limits/strict_limit"; } 2> /dev/null || :
}

start() {
    dockerd --host unix:///run/docker.sock --pidfile /run/docker.pid --storage-driver overlay2 \
        --bridge none --iptables=false --log-level warn ${2:+--registry-mirror "$2"} \
        > "$log" 2>&1 < /dev/null 3<&- &
    engine=$!
    until [ -S /run/docker.sock ]; do
        kill -0 "$engine" 2> /dev/null || return 1
        sleep 0.02
    done
    version=$(docker version --format '{{.Client.Version}}' 2>> "$log")
}

mkdir -p /var/lib/docker
attach "$@"
: > /cache/used
if ! start "$@"; then
    # What is on the disk may be the reason: the power may have failed.
    kill -9 "$engine" 2> /dev/null || :
    umount /var/lib/docker
    rm -f "$disk" /run/docker.sock /run/docker.pid
    attach "$@"
    start "$@" || { tail -n 20 "$log" >&2; exit 1; }
fi

# Newer clients have BuildKit in a plugin, which may not be there.
if [ "${version%%.*}" -lt 23 ] || docker buildx version > /dev/null 2>&1; then
    echo ready buildkit
else
    echo ready classic
fi
{ timeout "$life" cat > /dev/null || :; kill -9 "$engine"; } <&3 &
wait "$engine"
