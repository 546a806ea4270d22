# The image, for whoever has a builder at hand; `make image` needs none.
# integration-tests/image/tests/dockerfile.rs holds it against rust-toolchain.toml and against what
# `make image` writes.

FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --config .cargo/release.toml --locked --release --package nfs-guard \
    && install -m 0555 target/*/release/nfs-guard /nfs-guard

FROM scratch
LABEL org.opencontainers.image.title="nfs-guard" \
      org.opencontainers.image.description="Admission server and linter that keep critical Kubernetes workloads off NFS" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /nfs-guard /nfs-guard
USER 65532:65532
ENTRYPOINT ["/nfs-guard"]
