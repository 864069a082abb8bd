#!/usr/bin/env bash
# Puts a built xfer, with all that belongs to it, into an archive; for Linux also into a .deb and an
# .rpm, where the tools for these are here.
# Must not build anything. The same program at the same SOURCE_DATE_EPOCH gives the same bytes.

set -euo pipefail

if [ $# != 4 ]; then
    printf 'Usage: dist/pack.sh TARGET PROGRAM PROGRAM-THAT-RUNS-HERE OUTPUT-FOLDER\n' >&2
    exit 2
fi
target=$1 program=$2 host=$3 out=$4
: "${SOURCE_DATE_EPOCH:?is not set}"
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C

fail() {
    printf 'pack.sh: %s\n' "$*" >&2
    exit 1
}

source=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$out"
out=$(CDPATH='' cd -P -- "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
field() { sed -n "s/^$1 *= *\"\\(.*\\)\"/\\1/p" "$source/Cargo.toml" | head -n 1; }
version=$(field version)
summary=$(field description)
date=@$SOURCE_DATE_EPOCH
# Where nobody else's settings say what an option is by default.
unset "${!XFER_@}"
export HOME=$scratch/home XDG_CONFIG_HOME=$scratch/home XDG_DATA_HOME=$scratch/home COLUMNS=80

case $target in
    x86_64-unknown-linux-musl) name=x86_64-linux-musl deb=amd64 rpm=x86_64 ;;
    aarch64-unknown-linux-musl) name=aarch64-linux-musl deb=arm64 rpm=aarch64 ;;
    x86_64-pc-windows-gnu) name=x86_64-windows ;;
    *) fail "unknown target '$target'" ;;
esac

# All that a user gets, as it lies in the archive.
folder=xfer-$version-$name
stage=$scratch/$folder
install -d "$stage/completions" "$stage/man"
"$host" man "$stage/man"
install -m 644 "$source/README.md" "$source/LICENSE" "$stage"
case $target in
    *-windows-*)
        install -m 755 "$program" "$stage/xfer.exe"
        "$host" completions powershell >"$stage/completions/xfer.ps1"
        ;;
    *)
        install -m 755 "$program" "$stage/xfer"
        # Where README.md says that it is.
        install -D -m 644 "$source/assets/xfer.service" "$stage/assets/xfer.service"
        ;;
esac
"$host" completions bash >"$stage/completions/xfer.bash"
"$host" completions zsh >"$stage/completions/_xfer"
"$host" completions fish >"$stage/completions/xfer.fish"

# Gives a tree the same modes and times everywhere.
settle() {
    find "$1" -type d -exec chmod 755 {} +
    find "$1" -type f ! -perm -100 -exec chmod 644 {} +
    find "$1" -exec touch -h -d "$date" {} +
}

settle "$stage"
case $target in
    *-windows-*)
        rm -f "$out/$folder.zip"
        (cd "$scratch" && find "$folder" | sort | zip -q -X -9 -@ "$out/$folder.zip")
        exit
        ;;
esac
tar -C "$scratch" --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="$date" \
    -cf - "$folder" | gzip -9n >"$out/$folder.tar.gz"

# All of it, as it lies in an installed system.
root=$scratch/root
share=$root/usr/share
install -D -m 755 "$program" "$root/usr/bin/xfer"
install -D -m 644 "$stage/completions/xfer.bash" "$share/bash-completion/completions/xfer"
install -D -m 644 "$stage/completions/xfer.fish" "$share/fish/vendor_completions.d/xfer.fish"
install -d "$share/man/man1" "$root/usr/lib/systemd/user"
for page in "$stage"/man/*.1; do
    gzip -9nc "$page" >"$share/man/man1/${page##*/}.gz"
done
# A package puts the program and the unit elsewhere.
sed -e 's,%h/.local/bin/xfer,/usr/bin/xfer,' -e '/To install it:/,/systemctl/{s/To install it:/To start it:/;/mkdir\|cp assets/d}' \
    "$source/assets/xfer.service" >"$root/usr/lib/systemd/user/xfer.service"

make_deb() {
    local zsh=$share/zsh/vendor-completions doc=$share/doc/xfer
    install -D -m 644 "$stage/completions/_xfer" "$zsh/_xfer"
    install -d "$doc" "$share/lintian/overrides" "$root/DEBIAN"
    {
        printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
        printf 'Upstream-Name: xfer\n\nFiles: *\n'
        sed -n 's/^Copyright (c) /Copyright: /p' "$source/LICENSE"
        printf 'License: Expat\n'
        sed -e '1,/^Copyright/d' "$source/LICENSE" | sed -e '1{/^$/d}' -e 's/^$/./' -e 's/^/ /'
    } >"$doc/copyright"
    {
        printf 'xfer (%s-1) unstable; urgency=medium\n\n  * Release %s.\n\n' "$version" "$version"
        printf ' -- The xfer authors <xfer@xfer.invalid>  %s\n' "$(date -R -d "$date")"
    } | gzip -9n >"$doc/changelog.Debian.gz"
    # It is meant to run everywhere.
    printf 'xfer: statically-linked-binary [usr/bin/xfer]\n' >"$share/lintian/overrides/xfer"
    cat >"$root/DEBIAN/control" <<END
Package: xfer
Version: $version-1
Architecture: $deb
Maintainer: The xfer authors <xfer@xfer.invalid>
Installed-Size: $(find "$root/usr" -type f -printf '%s\n' | awk '{ s += int(($1 + 1023) / 1024) } END { print s }')
Section: net
Priority: optional
Description: copy files and folders between machines on one network
 xfer sends files from one machine straight to another, with no account, no
 server and no cloud. Machines are paired once, by a code of six digits.
 Everything is encrypted and verified, and what was interrupted resumes.
END
    (cd "$root" && find usr -type f | sort | xargs -d '\n' md5sum) >"$root/DEBIAN/md5sums"
    settle "$root"
    dpkg-deb --root-owner-group -Zxz --build "$root" "$out/xfer_$version-1_$deb.deb" >/dev/null
    rm -r "$root/DEBIAN" "$zsh" "$doc" "$share/lintian"
}

make_rpm() {
    install -D -m 644 "$stage/completions/_xfer" "$share/zsh/site-functions/_xfer"
    install -D -m 644 "$source/LICENSE" "$share/licenses/xfer/LICENSE"
    install -D -m 644 "$source/README.md" "$share/doc/xfer/README.md"
    settle "$root"
    rpmbuild --quiet -bb --target "$rpm-linux" \
        --define "_topdir $scratch/rpm" --define "_rpmdir $out" \
        --define "_rpmfilename xfer-$version-1.$rpm.rpm" \
        --define "xfer_version $version" --define "xfer_summary $summary" \
        --define "xfer_root $root" "$source/dist/xfer.spec" >/dev/null
}

if command -v dpkg-deb >/dev/null; then make_deb; else
    printf 'pack.sh: leaving out the .deb: there is no dpkg-deb\n' >&2
fi
if command -v rpmbuild >/dev/null; then make_rpm; else
    printf 'pack.sh: leaving out the .rpm: there is no rpmbuild\n' >&2
fi
