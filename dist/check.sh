#!/usr/bin/env bash
# Tries a built release where nothing else is: programs in an empty folder as root folder, packages
# and install.sh in a fresh Debian, the program for ARM64 under an emulator.
# Must not leave anything behind, on this machine or in its package lists.

set -euo pipefail
exec </dev/null

usage() {
    cat <<'END'
Usage: dist/check.sh [--twice] [FOLDER]

Tries the release for Linux that dist/build.sh made in FOLDER. Without FOLDER it builds one first. It
needs root on Debian or Ubuntu on x86-64, and installs the tools that are missing.

With --twice, it builds the last commit once more, elsewhere and with nothing kept, and compares the
bytes.

Environment:
  CI                                Where it is set, nothing may be skipped
  XFER_DIST_CACHE, XFER_DIST_JOBS   As for dist/build.sh
END
}

say() { printf '\n==> %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
# Says loudly that something cannot be tried here. Where everything has to be, it fails.
skip() {
    [ -z "${CI:-}" ] || fail "$*"
    printf '\n!! NOT TRIED: %s\n' "$*" >&2
}
run() {
    printf '$ %s\n' "$*"
    "$@"
}

case ${1:-} in
    -h | --help) usage && exit 0 ;;
esac
all=("$@")
twice=
if [ "${1:-}" = --twice ]; then
    twice=yes
    shift
fi
here=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source=${here%/*}
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$source/Cargo.toml" | head -n 1)

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || [ "$(uname -m)" != x86_64 ]; then
    skip "the built release: that takes root on Debian or Ubuntu on x86-64"
    exit 0
fi
# What is mounted here is gone with this process.
if [ "${XFER_CHECK_MOUNTS:-}" != own ]; then
    unshare -m true 2>/dev/null || { skip "the built release: nothing can be mounted here" && exit 0; }
    exec env XFER_CHECK_MOUNTS=own unshare -m "${BASH_SOURCE[0]}" "${all[@]}"
fi

missing=()
command -v debootstrap >/dev/null || missing+=(debootstrap)
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v lintian >/dev/null || missing+=(lintian)
command -v rpmbuild >/dev/null || missing+=(rpm)
command -v python3 >/dev/null || missing+=(python3)
python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
[ -d /usr/lib/rustlib/src/rust/library ] || missing+=(rustc-web cargo-web rust-web-src)
if [ ${#missing[@]} -gt 0 ]; then
    run apt-get update -qq || true
    if ! run env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; then
        skip "the built release: missing here: ${missing[*]}"
        exit 0
    fi
fi

scratch=$(mktemp -d)
# The process of `xfer recv`, while there is one.
receiver=
# Where something is mounted.
mounted=()
clean_up() {
    [ -z "$receiver" ] || kill -KILL "$receiver" 2>/dev/null || true
    local at
    for at in "${mounted[@]}"; do umount "$at" || true; done
    rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
unset "${!XFER_DIR@}" XFER_NAME XFER_LISTEN

# The new files below a folder, but for records that the package managers keep and fonts of time.
files_of() {
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./var/lib/dpkg -o -path ./var/log \
        -o -path ./var/cache -o -path ./var/lib/rpm -o -path ./tmp \) -prune -o -print | sort)
}

make_tree() {
    mkdir -p "$1/photos/2024/empty"
    head -c 5000000 /dev/urandom >"$1/film.mkv"
    local n
    for n in $(seq 200); do head -c $((n * 17)) /dev/urandom >"$1/photos/2024/$n.jpg"; done
    ln -s 2024/1.jpg "$1/photos/best.jpg"
    : >"$1/photos/nothing"
    touch -d 2001-02-03T04:05:06 "$1/photos/2024/1.jpg" "$1/photos/2024"
}

# Sends the tree with one command, receives it with another, and compares. Both are given words by
# words: "transfer WHAT RECEIVING... -- SENDING...". They see $scratch/share as /share.
transfer() {
    local what=$1 receiving=() line='' code=0 output
    shift
    while [ "$1" != -- ]; do
        receiving+=("$1")
        shift
    done
    shift
    say "$what"
    rm -rf "$scratch/share/to"
    mkdir -p "$scratch/share/to"
    chmod -R a+rwX "$scratch/share"
    exec {output}< <(exec "${receiving[@]}" recv --dir /share/to --listen 127.0.0.1:0 2>&1)
    receiver=$!
    while read -r -t 60 line <&"$output"; do
        printf '%s\n' "$line"
        case $line in "Listening on "*) break ;; esac
        line=
    done
    [ "$line" ] || fail "$what: xfer recv did not say where it listens"
    local address=${line#Listening on }
    address=${address%%, receiving into *}
    run "$@" send /share/from/film.mkv /share/from/photos "$address"
    kill -INT "$receiver"
    cat <&"$output"
    exec {output}<&-
    wait "$receiver" || code=$?
    receiver=
    [ "$code" = 0 ] || fail "$what: xfer recv ended with $code after Ctrl-C"
    run diff -r --no-dereference --exclude=.xfer "$scratch/share/from" "$scratch/share/to"
    (cd "$scratch/share/from" && find . -printf '%P %y %m %T@\n' | sort) >"$scratch/sent"
    (cd "$scratch/share/to" && find . -name .xfer -prune -o -printf '%P %y %m %T@\n' | sort) \
        >"$scratch/received"
    # The receive folder itself is the receiver's.
    diff <(sed 1d "$scratch/sent") <(sed 1d "$scratch/received") || fail "$what: times or modes differ"
}

# A folder that is to be a root folder, with what is exchanged in it.
make_root() {
    mkdir -p "$1/share" "$1/root"
    mount --bind "$scratch/share" "$1/share"
    mounted+=("$1/share")
}

mkdir -p "$scratch/share/from"
make_tree "$scratch/share/from"
if [ $# -gt 0 ]; then
    out=$(CDPATH='' cd -P -- "$1" && pwd)
else
    say "Building a release"
    out=$scratch/release
    XFER_DIST_OUT=$out "$here/build.sh" x86_64-unknown-linux-musl aarch64-unknown-linux-musl
fi

say "Sums"
(cd "$out" && run sha256sum -c SHA256SUMS)
for file in "$out"/xfer[-_]*; do
    grep -q "  ${file##*/}\$" "$out/SHA256SUMS" || fail "SHA256SUMS does not list $file"
done
deb=$out/xfer_$version-1_amd64.deb
rpm=$out/xfer-$version-1.x86_64.rpm
archive=$out/xfer-$version-x86_64-linux-musl.tar.gz
for machine in x86_64 aarch64; do
    tar -xzf "$out/xfer-$version-$machine-linux-musl.tar.gz" -C "$scratch"
    mv "$scratch/xfer-$version-$machine-linux-musl" "$scratch/$machine"
done

chroot=$(command -v chroot)

empty=$scratch/empty
make_root "$empty"
cp "$scratch/x86_64/xfer" "$empty/xfer"
run chroot "$empty" /xfer --version
in_empty=(env -i HOME=/root "$chroot" "$empty" /xfer)
transfer "The static program in an empty folder" "${in_empty[@]}" -- "${in_empty[@]}"

# Sees the same folder as /share: the emulator reads from the root folder that it is in.
arm=$scratch/arm
make_root "$arm"
cp "$scratch/aarch64/xfer" "$arm/xfer"
cp "$(command -v qemu-aarch64-static)" "$arm/qemu"
# The same key on both sides, by which one user is known.
rm -rf "$arm/root" && cp -a "$empty/root" "$arm/root"
in_arm=(env -i HOME=/root "$chroot" "$arm" /qemu /xfer)
run "${in_arm[@]}" --version
transfer "ARM64 receives" "${in_arm[@]}" -- "${in_empty[@]}"
transfer "ARM64 sends" "${in_empty[@]}" -- "${in_arm[@]}"
transfer "ARM64 receives from itself" "${in_arm[@]}" -- "${in_arm[@]}"

say "The .deb, by lintian"
# xfer has no address for mail yet, and this is no upload to Debian.
run lintian --allow-root --fail-on error,warning --suppress-tags \
    bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs \
    "$deb" "$out/xfer_$version-1_arm64.deb"

say "A fresh Debian"
debian=$scratch/debian
mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d \
    2>/dev/null | head -n 1 | tr -d ' ' || true)
run debootstrap --variant=minbase bookworm "$debian" "${mirror:-http://deb.debian.org/debian}" \
    >"$scratch/debootstrap.log" 2>&1 || {
    tail -n 20 "$scratch/debootstrap.log" >&2
    fail "cannot make a fresh Debian"
}
make_root "$debian"
mount -t proc proc "$debian/proc"
mounted+=("$debian/proc")
chroot "$debian" useradd --create-home ann
files_of "$debian" >"$scratch/before"
as_ann=(chroot "$debian" setpriv --reuid ann --regid ann --init-groups env -i HOME=/home/ann
    PATH=/usr/bin:/bin)

say "The .deb: installed, used, removed"
cp "$deb" "$debian/tmp/xfer.deb"
run chroot "$debian" dpkg -i /tmp/xfer.deb
[ -z "$(chroot "$debian" dpkg -V xfer)" ] || fail "what is installed is not what was packed"
transfer "The .deb's program" "${as_ann[@]}" xfer -- "${as_ann[@]}" xfer
run "${as_ann[@]}" bash -c '. /usr/share/bash-completion/completions/xfer && complete -p xfer'
run "${as_ann[@]}" sh -c 'gzip -t /usr/share/man/man1/xfer.1.gz /usr/share/man/man1/xfer-send.1.gz'
if command -v systemd-analyze >/dev/null; then
    # It looks for the program as well.
    unit=$scratch/xfer.service
    sed "s,/usr/bin/xfer,$scratch/x86_64/xfer," "$debian/usr/lib/systemd/user/xfer.service" >"$unit"
    run env XDG_RUNTIME_DIR="$scratch" systemd-analyze verify --user --man=no "$unit"
else
    skip "the systemd unit: there is no systemd-analyze"
fi
run chroot "$debian" dpkg -r xfer
rm -rf "$debian/tmp/xfer.deb" "$debian/home/ann/.config" "$debian/home/ann/.local"
files_of "$debian" | run diff "$scratch/before" -

say "install.sh, without a compiler"
mkdir "$debian/home/ann/download"
cp "$archive" "$out/SHA256SUMS" "$out/install.sh" "$debian/home/ann/download"
run "${as_ann[@]}" sh /home/ann/download/install.sh
ours=("${as_ann[@]}" /home/ann/.local/bin/xfer)
transfer "The program that install.sh installed" "${ours[@]}" -- "${ours[@]}"
uninstall=$(sed -n '/^\*\*Uninstall/,/^## /s/^    //p' "$source/README.md")
run "${as_ann[@]}" bash -e -c "$uninstall"
left=$(find "$debian/home/ann/.local/bin" "$debian/home/ann/.local/share" \
    -path '*/share/xfer' -prune -o ! -type d -print)
[ -z "$left" ] || fail "left after uninstalling: $left"

say "The .rpm: installed, used, removed"
run rpm -K --nosignature "$rpm" "$out/xfer-$version-1.aarch64.rpm"
fedora=$scratch/fedora
make_root "$fedora"
mkdir -p "$fedora/var/lib/rpm"
rpm --root "$fedora" --initdb
files_of "$fedora" | grep -v '^./usr' >"$scratch/before"
run rpm --root "$fedora" -i --nosignature "$rpm"
run rpm --root "$fedora" -V xfer
in_fedora=(env -i HOME=/root "$chroot" "$fedora" /usr/bin/xfer)
transfer "The .rpm's program" "${in_fedora[@]}" -- "${in_fedora[@]}"
run rpm --root "$fedora" -e xfer
left=$(find "$fedora/usr" ! -type d 2>/dev/null || true)
[ -z "$left" ] || fail "left after removing the .rpm: $left"

if [ "$twice" ]; then
    say "The same bytes, built elsewhere"
    git clone -q "$source" "$scratch/elsewhere/xfer"
    XFER_DIST_OUT=$scratch/again XFER_DIST_CACHE=$scratch/elsewhere/cache \
        "$scratch/elsewhere/xfer/dist/build.sh" x86_64-unknown-linux-musl aarch64-unknown-linux-musl
    # This one may have been built for more.
    run diff <(grep -v '\.zip$' "$out/SHA256SUMS") "$scratch/again/SHA256SUMS"
fi

say "The release works, after $SECONDS s"
