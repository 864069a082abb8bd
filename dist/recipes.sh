#!/usr/bin/env bash
# Copies the recipes of package managers into a built release, with the sums of what is in it.
# Must not change a recipe otherwise: what they say is in dist/recipes.

set -euo pipefail

if [ $# != 1 ]; then
    printf 'Usage: dist/recipes.sh OUTPUT-FOLDER\n' >&2
    exit 2
fi
out=$1
here=$(CDPATH='' cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's/^version *= *"\(.*\)"/\1/p' "$here/../Cargo.toml" | head -n 1)
unknown=$(printf '0%.0s' {1..64})

# Copies recipe $1 with the sum of file $2, unless that was not built.
fill() {
    local sum
    sum=$(awk -v name="$2" '$2 == name { print $1 }' "$out/SHA256SUMS")
    if [ -z "$sum" ]; then
        printf 'recipes.sh: leaving out %s: there is no %s\n' "$1" "$2" >&2
        return
    fi
    mkdir -p "$(dirname -- "$out/recipes/$1")"
    sed "s/$unknown/$sum/" "$here/recipes/$1" >"$out/recipes/$1"
    # winget is the one to write them large.
    case $1 in *.yaml) sed -i "s/$sum/${sum^^}/" "$out/recipes/$1" ;; esac
}

fill xfer.rb "xfer-$version.tar.gz"
fill PKGBUILD "xfer-$version.tar.gz"
fill flake.nix "xfer-$version.tar.gz"
for file in Xfer.Xfer.yaml Xfer.Xfer.installer.yaml Xfer.Xfer.locale.en-US.yaml; do
    fill "winget/$file" "xfer-$version-x86_64-windows.zip"
done
