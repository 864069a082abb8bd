#!/usr/bin/env bash
# Builds what a release of xfer consists of: for each system an archive with the program, for Linux
# also packages, beside them install.sh and install.ps1, and the SHA-256 sums of all.
# Must not depend on where it runs or on what was built before: the same commit gives the same bytes.

set -euo pipefail

usage() {
    cat <<'END'
Usage: dist/build.sh [TARGET...]

Builds xfer for each TARGET into target/dist, which is emptied first. A TARGET is:

    x86_64-unknown-linux-musl     static; archive, .deb, .rpm
    aarch64-unknown-linux-musl    static; archive, .deb, .rpm
    x86_64-pc-windows-gnu         archive

The default is all of them. It needs what Debian has in: cargo-web rustc-web rust-web-src python3
python3-pip, and for packages dpkg and rpm, and for Windows gcc-mingw-w64-x86-64 and zip. A toolchain
of rustup's does in place of the first three, if it has the target or rust-src. zig, the C compiler
for Linux, comes from PyPI.

Environment:
  XFER_DIST_OUT     Where to put the release [default: target/dist]
  XFER_DIST_CACHE   Where to keep the compilers and what they built [default: target/dist-cache]
  XFER_DIST_JOBS    How many things to compile at a time [default: one for each processor]
END
}

# These decide about the bytes.
zig_version=0.15.2
zigbuild_version=0.24.1

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'build.sh: %s\n' "$*" >&2
    exit 1
}

# The C compiler for Linux, and what lets cargo use it.
get_zig() {
    zig=$cache/zig-$zig_version/ziglang/zig
    zigbuild=$cache/cargo-zigbuild-$zigbuild_version/bin
    local pip=(python3 -m pip --disable-pip-version-check install --quiet --root-user-action ignore)
    if [ ! -x "$zig" ]; then
        say "Getting zig $zig_version"
        "${pip[@]}" --target "$cache/zig.new" "ziglang==$zig_version"
        mv -T "$cache/zig.new" "$cache/zig-$zig_version"
    fi
    if [ ! -x "$zigbuild/cargo-zigbuild" ]; then
        say "Getting cargo-zigbuild $zigbuild_version"
        "${pip[@]}" --target "$cache/zigbuild.new" --no-deps "cargo-zigbuild==$zigbuild_version"
        mv -T "$cache/zigbuild.new" "$cache/cargo-zigbuild-$zigbuild_version"
    fi
}

# Chooses a compiler that has the standard library for target $1, or its source.
choose_rust() {
    local target=$1 rustc sysroot
    for rustc in ${RUSTC:+"$RUSTC"} rustc /usr/bin/rustc; do
        sysroot=$("$rustc" --print sysroot 2>/dev/null) || continue
        std=()
        rust_source=$sysroot/lib/rustlib/src/rust
        if [ ! -d "$sysroot/lib/rustlib/$target/lib" ]; then
            [ -d "$rust_source/library" ] || continue
            std=("-Zbuild-std=std,panic_abort")
        fi
        # The two must be of one version.
        if [ "$rustc" = /usr/bin/rustc ]; then cargo=/usr/bin/cargo; else cargo=cargo; fi
        rust=$rustc
        return
    done
    fail "no Rust compiler here has the standard library for $target, or its source. To install one:
    rustup target add $target              (with rustup)
    apt-get install cargo-web rustc-web rust-web-src     (Debian 12)"
}

# Builds the program for target $1; leaves its path in $built.
build() {
    local target=$1 flags=() c_flags=() command=() upper lower=${1//-/_}
    choose_rust "$target"
    say "Building for $target, by $("$rust" --version)"
    # Where things are here must not be in the program. What is in this folder is compiled by
    # relative paths, so a clone elsewhere finds what the cache has.
    local from to
    while read -r from to; do
        flags+=("--remap-path-prefix=$from=$to")
        c_flags+=("-ffile-prefix-map=$from=$to")
    done <<END
$rust_source /rust
$cargo_home /cargo
$cache/target /target
END
    upper=${lower^^}
    (
        unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS "CARGO_TARGET_${upper}_RUSTFLAGS" CFLAGS CXXFLAGS
        case $target in
            *-linux-musl)
                get_zig
                # zig brings the C library, and what starts a program.
                flags+=(-Clink-self-contained=no)
                PATH=$zigbuild:${zig%/*}:$PATH
                export CARGO_ZIGBUILD_ZIG_PATH=$zig CARGO_ZIGBUILD_CACHE_DIR=$cache/zigbuild
                export ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache ZIG_LOCAL_CACHE_DIR=$cache/zig-cache
                command=(zigbuild)
                ;;
            *-windows-gnu)
                export "CARGO_TARGET_${upper}_LINKER=x86_64-w64-mingw32-gcc"
                # Otherwise the program says when it was linked.
                flags+=("-Clink-arg=-Wl,--no-insert-timestamp")
                command=(build)
                ;;
        esac
        [ "$cargo" = cargo ] || PATH=/usr/bin:$PATH
        local IFS=$'\x1f'
        export CARGO_ENCODED_RUSTFLAGS="${flags[*]}"
        IFS=' '
        export "CFLAGS_$lower=${c_flags[*]}" "CXXFLAGS_$lower=${c_flags[*]}"
        # Sources for the standard library are taken by nightly compilers alone, unless told so.
        [ ${#std[@]} = 0 ] || export RUSTC_BOOTSTRAP=1
        export RUSTC=$rust CARGO_TARGET_DIR=$cache/target CARGO_PROFILE_RELEASE_STRIP=symbols
        cd "$source"
        "$cargo" "${command[@]}" ${XFER_DIST_JOBS:+--jobs "$XFER_DIST_JOBS"} --release --locked \
            --bin xfer "${std[@]}" --target "$target"
    )
    built=$cache/target/$target/release/xfer
    case $target in *-windows-*) built+=.exe ;; esac
    [ -f "$built" ] || fail "cargo built xfer for $target, but there is no $built"
}

# An xfer that runs here, to print completions and man pages; leaves its path in $host.
find_host() {
    local target
    target=$(uname -m)-unknown-linux-musl
    if [ "$(uname)" = Linux ] && [ -n "${programs[$target]:-}" ]; then
        host=${programs[$target]}
    else
        say "Building for this machine"
        (cd "$source" && CARGO_TARGET_DIR=$cache/target cargo build --release --locked --bin xfer)
        host=$cache/target/release/xfer
    fi
}

case ${1:-} in
    -h | --help) usage && exit 0 ;;
esac
targets=("$@")
[ $# -gt 0 ] || targets=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu)
for target in "${targets[@]}"; do
    case $target in
        x86_64-unknown-linux-musl | aarch64-unknown-linux-musl | x86_64-pc-windows-gnu) ;;
        *) fail "unknown target '$target'; see dist/build.sh --help" ;;
    esac
done

here=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source=${here%/*}
out=${XFER_DIST_OUT:-$source/target/dist}
cache=${XFER_DIST_CACHE:-$source/target/dist-cache}
mkdir -p "$out" "$cache"
out=$(CDPATH='' cd -P -- "$out" && pwd)
cache=$(CDPATH='' cd -P -- "$cache" && pwd)
cargo_home=$(CDPATH='' cd -P -- "${CARGO_HOME:-$HOME/.cargo}" && pwd)
# They become arguments of C compilers, which have no way to write such paths.
case $cache$cargo_home in *[[:space:]]*) fail "there is a blank in '$cache' or '$cargo_home'" ;; esac
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$source/Cargo.toml" | head -n 1)
# Everything is as old as the commit.
is_repository=
if [ -e "$source/.git" ] && git -C "$source" rev-parse --quiet --verify HEAD >/dev/null; then
    is_repository=yes
fi
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    if [ "$is_repository" ]; then
        SOURCE_DATE_EPOCH=$(git -C "$source" log -1 --format=%ct)
    else
        SOURCE_DATE_EPOCH=$(stat -c %Y "$source/Cargo.lock")
    fi
fi
export SOURCE_DATE_EPOCH

declare -A programs
for target in "${targets[@]}"; do
    build "$target"
    programs[$target]=$built
done
find_host

rm -f "$out"/xfer[-_]* "$out/SHA256SUMS" "$out/install.sh" "$out/install.ps1"
rm -rf "$out/recipes"
for target in "${targets[@]}"; do
    "$here/pack.sh" "$target" "${programs[$target]}" "$host" "$out"
done
if [ "$is_repository" ]; then
    [ -z "$(git -C "$source" status --porcelain)" ] ||
        say "Not all here is committed: xfer-$version.tar.gz has the last commit"
    git -C "$source" archive --format=tar --prefix="xfer-$version/" HEAD |
        gzip -9n >"$out/xfer-$version.tar.gz"
else
    say "This is no git repository: leaving out the source, xfer-$version.tar.gz"
fi
install -m 755 "$source/install.sh" "$out/"
install -m 644 "$source/install.ps1" "$out/"
(cd "$out" && LC_ALL=C sha256sum xfer[-_]* >SHA256SUMS)
"$here/recipes.sh" "$out"
say "In $out:"
(cd "$out" && ls -l)
