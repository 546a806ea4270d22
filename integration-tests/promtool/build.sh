#!/usr/bin/env bash
# Builds Prometheus' promtool and prints its path.
#
# As in control-plane/build.sh, the name holds the hash of everything it is made
# from, and it lies in the user's cache. A module of its own: some of its
# dependencies do not go together with those of Kubernetes.
set -euo pipefail
cd "$(dirname "$0")"

command -v go >/dev/null || {
    echo "promtool: 'go' is not on PATH; install Go (go.dev/doc/install)" >&2
    exit 1
}

version=$(awk '$1 == "require" { print $3 }' go.mod)
hash=$(cat build.sh go.mod go.sum <(go env GOVERSION GOOS GOARCH) | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nfs-guard
out=$cache/promtool-$version-$hash

mkdir -p "$cache"
exec 9>"$cache/promtool.lock"
flock 9
if [ ! -x "$out" ]; then
    work=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "promtool: building $version (about 80 seconds the first time)" >&2
    # Without service discovery, which is most of its dependencies.
    CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -tags remove_all_sd \
        -o "$work/promtool" github.com/prometheus/prometheus/cmd/promtool >&2
    mv "$work/promtool" "$out"
fi
echo "$out"
