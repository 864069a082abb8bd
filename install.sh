#!/bin/sh
# Installs xfer for this user: from a built archive, or built from the folder that this file is in.
# Must not change anything else: no shell profiles, no packages. Must not download anything.

set -eu

usage() {
    cat <<'END'
Usage: ./install.sh [ARCHIVE]
       ./install.sh --build

Installs xfer as $PREFIX/bin/xfer, with man pages and completions for bash, zsh
and fish in $PREFIX/share. Run it again to update. At the end it shows how to
uninstall.

ARCHIVE is a built one, such as xfer-1.0-x86_64-linux-musl.tar.gz. Its SHA-256
sum must be the one in the file SHA256SUMS beside it. Without ARCHIVE, it uses
one for this system that is in the same folder as install.sh. If none is there,
or with --build, it builds xfer from that folder.

Environment:
  PREFIX             Where to install [default: ~/.local]
  CARGO_TARGET_DIR   Where to build [default: target, in this folder]
END
}

say() { printf '%s\n' "$*"; }
complain() { printf '%s\n' "install.sh: $*" >&2; }

# Whether version $1 is at least $2, by their first two numbers.
is_at_least() {
    major=${1%%.*} rest=${1#*.} minor=${rest%%.*}
    least_major=${2%%.*} rest=${2#*.} least_minor=${rest%%.*}
    [ "$major" -gt "$least_major" ] ||
        { [ "$major" -eq "$least_major" ] && [ "$minor" -ge "$least_minor" ]; }
}

# The archive for this system beside this file, if there is one; leaves its path in $archive.
find_archive() {
    case $(uname -s) in
        Linux) system=linux-musl ;;
        *) return 0 ;;
    esac
    case $(uname -m) in
        x86_64 | amd64) machine=x86_64 ;;
        aarch64 | arm64) machine=aarch64 ;;
        *) return 0 ;;
    esac
    for file in "$source"/xfer-*-"$machine-$system.tar.gz"; do
        [ -f "$file" ] || continue
        if [ -n "$archive" ]; then
            complain "several archives for this system are in $source. Name one of them:"
            for one in "$source"/xfer-*-"$machine-$system.tar.gz"; do
                complain "    ./install.sh ${one##*/}"
            done
            exit 1
        fi
        archive=$file
    done
}

# Prints the SHA-256 sum of file $1.
sum_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    elif command -v shasum >/dev/null 2>&1; then
        shasum -a 256 <"$1"
    else
        openssl dgst -sha256 -r <"$1"
    fi | sed 's/ .*//'
}

# Refuses an archive that is not what SHA256SUMS says.
check_archive() {
    sums=$(dirname -- "$archive")/SHA256SUMS
    if [ ! -e "$sums" ]; then
        say "Note: there is no SHA256SUMS beside ${archive##*/}, so its content is not checked."
        return
    fi
    expected=$(tr -d '\r' <"$sums" |
        awk -v name="${archive##*/}" '$2 == name || $2 == "*" name { print $1 }')
    if [ -z "$expected" ]; then
        complain "$sums does not list ${archive##*/}. Nothing is installed."
        return 1
    fi
    actual=$(sum_of "$archive")
    if [ "$actual" != "$expected" ]; then
        complain "$archive is damaged or not the released one:"
        complain "its SHA-256 sum is not the one in SHA256SUMS. Nothing is installed."
        complain "Get the archive and SHA256SUMS again."
        return 1
    fi
    say "Checked the SHA-256 sum of ${archive##*/}"
}

# Unpacks an archive, and leaves the path of the program in $built.
unpack() {
    case $archive in
        *.tar.gz) ;;
        *.zip)
            complain "$archive is for Windows. There, run install.ps1."
            return 1
            ;;
        *)
            complain "$archive is not a .tar.gz archive of xfer"
            return 1
            ;;
    esac
    if [ ! -f "$archive" ]; then
        complain "cannot find $archive"
        return 1
    fi
    check_archive || return 1
    unpacked=$(mktemp -d)
    if ! tar -xzf "$archive" -C "$unpacked"; then
        complain "cannot unpack $archive"
        return 1
    fi
    for built in "$unpacked"/xfer-*/xfer; do :; done
    if [ ! -f "$built" ] || ! "$built" --version >/dev/null; then
        complain "$archive has no xfer that runs on this machine ($(uname -s), $(uname -m))"
        return 1
    fi
}

# Says all that is missing, not just the first thing.
check_needs() {
    ok=yes
    least=$(sed -n 's/^rust-version *= *"\(.*\)".*/\1/p' "$source/Cargo.toml")
    # Right after rustup's installation, the terminal that it ran in does not know cargo yet.
    if ! command -v cargo >/dev/null 2>&1 && [ -x "${HOME:-}/.cargo/bin/cargo" ]; then
        PATH=$PATH:$HOME/.cargo/bin
    fi
    if ! command -v cargo >/dev/null 2>&1; then
        complain "xfer needs Rust $least or later, and cargo is not installed. To install it:"
        complain "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
        ok=no
    else
        # "cargo 1.88.0 (873a06493 2025-05-10)"
        have=$(cargo --version | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
        if [ -z "$have" ] || ! is_at_least "$have" "$least"; then
            complain "xfer needs Rust $least or later, and cargo is ${have:-broken}. To update it:"
            complain "    rustup update stable     (rustup: https://rustup.rs)"
            ok=no
        fi
    fi
    # Not just whether it is there: macOS has one that only says how to get one.
    # shellcheck disable=SC2086  # CC can have arguments.
    if ! ${CC:-cc} --version >/dev/null 2>&1; then
        complain "xfer needs a C compiler, and '${CC:-cc}' does not work. To install one:"
        complain "    Debian, Ubuntu:  sudo apt-get install build-essential"
        complain "    Fedora:          sudo dnf install gcc"
        complain "    Arch:            sudo pacman -S gcc"
        complain "    Alpine:          sudo apk add build-base"
        complain "    macOS:           xcode-select --install"
        ok=no
    fi
    [ "$ok" = yes ]
}

# Builds, and leaves the path of the program in $built.
build() {
    say "Building xfer. This takes a few minutes the first time."
    # Cargo itself says where the program is: settings of the user's can put it anywhere.
    messages=$(cargo --config "$source/.cargo/config.toml" build --release --locked --bin xfer \
        --manifest-path "$source/Cargo.toml" --message-format json-render-diagnostics)
    built=$(printf '%s\n' "$messages" | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    if [ ! -x "$built" ]; then
        complain "cargo built xfer, but there is no program at '$built'"
        return 1
    fi
}

# Whoever runs xfer at the moment keeps the old one; nobody ever sees half of the new one.
install_program() {
    mkdir -p "$bin"
    bin=$(CDPATH='' cd -- "$bin" && pwd)
    temporary=$(mktemp "$bin/.xfer-install.XXXXXX")
    cp "$built" "$temporary"
    chmod 755 "$temporary"
    "$temporary" --version >/dev/null
    mv -f "$temporary" "$bin/xfer"
    say "Installed $("$bin/xfer" --version) as $bin/xfer"
}

# Puts what a command prints into the file $1.
generate() {
    to=$1
    shift
    mkdir -p "${to%/*}"
    "$@" >"$to.new"
    mv -f "$to.new" "$to"
}

# Completions and the manual, as the program itself has them.
install_extras() {
    bash_file=$share/bash-completion/completions/xfer
    zsh_file=$share/zsh/site-functions/_xfer
    fish_file=$share/fish/vendor_completions.d/xfer.fish
    man_dir=$share/man/man1
    generate "$bash_file" "$bin/xfer" completions bash
    generate "$zsh_file" "$bin/xfer" completions zsh
    generate "$fish_file" "$bin/xfer" completions fish
    mkdir -p "$man_dir"
    "$bin/xfer" man "$man_dir"
    say "Installed completions and man pages:"
    for file in "$bash_file" "$zsh_file" "$fish_file"; do say "    $file"; done
    say "    $man_dir/xfer.1, $man_dir/xfer-*.1"
    say "To uninstall:"
    say "    cd '$prefix' && rm -f bin/xfer share/bash-completion/completions/xfer \\"
    say "        share/zsh/site-functions/_xfer share/fish/vendor_completions.d/xfer.fish \\"
    say "        share/man/man1/xfer.1 share/man/man1/xfer-*.1"
    case ${SHELL:-} in
        */zsh)
            say "To complete arguments in zsh, add this to ~/.zshrc, before compinit:"
            say "    fpath=('${zsh_file%/*}' \$fpath)"
            ;;
    esac
}

tell_about_path() {
    case ":${PATH:-}:" in
        *":$bin:"*)
            first=$(command -v xfer || true)
            if [ "$first" != "$bin/xfer" ]; then
                say "Note: in this terminal, 'xfer' runs $first instead."
            fi
            return
            ;;
    esac
    say ""
    say "$bin is not in your PATH. To add it, run this, then open a new terminal:"
    # shellcheck disable=SC2016  # $PATH is for the user's shell to expand.
    case ${SHELL:-} in
        */fish) say "    fish_add_path '$bin'" ;;
        */zsh) say "    echo 'export PATH=\"$bin:\$PATH\"' >> ~/.zshrc" ;;
        */bash) say "    echo 'export PATH=\"$bin:\$PATH\"' >> ~/.bashrc" ;;
        *) say "    echo 'export PATH=\"$bin:\$PATH\"' >> ~/.profile" ;;
    esac
}

clean_up() {
    [ -z "$temporary" ] || rm -f "$temporary"
    [ -z "$unpacked" ] || rm -rf "$unpacked"
}

main() {
    archive='' unpacked='' temporary='' must_build=no
    case ${1:-} in
        -h | --help) usage && exit 0 ;;
        --build) must_build=yes ;;
        -*)
            complain "unexpected argument '$1'; see ./install.sh --help"
            exit 2
            ;;
        *) archive=${1:-} ;;
    esac
    if [ $# -gt 1 ]; then
        complain "unexpected argument '$2'; see ./install.sh --help"
        exit 2
    fi
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    source=$(CDPATH='' cd -P -- "$(dirname -- "$0")" && pwd)
    prefix=${PREFIX:-${HOME:?is not set, and neither is PREFIX}/.local}
    case $prefix in
        /*) ;;
        *) prefix=$PWD/$prefix ;;
    esac
    prefix=${prefix%/}
    bin=$prefix/bin
    share=$prefix/share
    if [ -z "$archive" ] && [ "$must_build" = no ]; then find_archive; fi
    if [ -n "$archive" ]; then
        unpack || exit 1
    elif [ -f "$source/Cargo.toml" ]; then
        check_needs || exit 1
        build
    else
        complain "no archive for this system ($(uname -s), $(uname -m)) is in $source,"
        complain "nor is the source of xfer. Put one of them there."
        exit 1
    fi
    install_program
    install_extras
    tell_about_path
    say ""
    say "Next, on the machine that receives:  xfer recv --dir ~/Downloads"
    say "and on the other one:                xfer send FILE ADDRESS"
}

main "$@"
