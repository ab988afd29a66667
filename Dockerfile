# docker build -t tailback .     (docs/get-started/install.md says how to run it)
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# What `tailback version --verbose` says: --build-arg TAILBACK_COMMIT=$(git rev-parse --short HEAD)
ARG TAILBACK_COMMIT
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --package tailback --bin tailback \
    && strip -o /tailback target/release/tailback

# glibc, libgcc and the certificates of public authorities, by which replicas reached by TLS are known
# unless their server says. No shell, no package manager, no root.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tailback /usr/local/bin/tailback
USER 65532:65532
# In a container, other addresses than the loopback's are the point.
ENV TAILBACK_LISTEN=0.0.0.0:9000 TAILBACK_ADMIN=0.0.0.0:9006
EXPOSE 9000 9006
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/usr/local/bin/tailback", "health"]
# Mount a folder of manifests here. Model servers that run as processes have to be in the same image:
# copy /usr/local/bin/tailback into theirs.
ENTRYPOINT ["/usr/local/bin/tailback"]
CMD ["serve", "/etc/tailback"]
