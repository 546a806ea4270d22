#!/usr/bin/env bash
# Builds the control plane the tests run on and prints the folder it is in.
#
# The folder's name is the hash of everything the binaries are made from, so a
# second call is free and an old build is never taken for a new one. It lies
# in the user's cache, outside any clone. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "$0")"

command -v go >/dev/null || {
    echo "control plane: 'go' is not on PATH; install Go (go.dev/doc/install) or set KUBEBUILDER_ASSETS" >&2
    exit 1
}

kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' go.mod)
hash=$(cat build.sh main.go oracle.go oracle.s go.mod go.sum <(go env GOVERSION GOOS GOARCH) | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/nfs-guard
out=$cache/control-plane-$kubernetes-$hash

mkdir -p "$cache"
exec 9>"$cache/control-plane.lock"
flock 9
if [ ! -d "$out" ]; then
    work=$(mktemp -d "$cache/building.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    IFS=. read -r major minor _ <<<"${kubernetes#v}"
    stamp="-s -w"
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        stamp+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=$major -X $package.gitMinor=$minor"
    done
    export CGO_ENABLED=0
    echo "control plane: building Kubernetes $kubernetes (about 7 minutes the first time)" >&2
    go build -trimpath -ldflags "$stamp" -o "$work/control-plane" . >&2
    for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl oracle; do
        ln -s control-plane "$work/$name"
    done
    echo "control plane: building kwok and helm" >&2
    go build -trimpath -ldflags "$stamp" -o "$work/" sigs.k8s.io/kwok/cmd/kwok helm.sh/helm/v4/cmd/helm >&2
    mv "$work" "$out"
    trap - EXIT
fi
echo "$out"
