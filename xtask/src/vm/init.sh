#!/bin/sh
# The first process of the guest. Tells on the serial line what it does: the
# task reads `@@ step NAME`, `@@ done NAME EXIT-CODE` and `@@ end`.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /var/lib
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t bpf bpf /sys/fs/bpf
echo 1 > /proc/sys/net/core/bpf_jit_enable
for module in /modules/*; do
    insmod "$module" || echo "insmod $module failed"
done
ip link set lo up

step() {
    name=$1
    shift
    echo "@@ step $name"
    "$@" 2>&1
    echo "@@ done $name $?"
}

# Succeeds where a command fails and says why.
refused() {
    reason=$1
    shift
    if "$@" > /tmp/answer 2>&1; then
        echo "it was not refused"
        return 1
    fi
    cat /tmp/answer
    grep -q "$reason" /tmp/answer
}

. /steps
echo "@@ end"
poweroff -f
