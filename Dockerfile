# docker build -t tailback .
FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package tailback --bin tailback

FROM debian:bookworm-slim
# Whom replicas reached by TLS may be signed by, unless their server says.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 65532 --no-create-home tailback
COPY --from=build /src/target/release/tailback /usr/local/bin/tailback
USER 65532:65532
# In a container, other addresses than the loopback's are the point.
ENV TAILBACK_LISTEN=0.0.0.0:9000 TAILBACK_ADMIN=0.0.0.0:9006
EXPOSE 9000 9006
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["tailback", "health"]
# Mount manifests here. Model servers that are run as processes have to be in
# the image: build one FROM this.
ENTRYPOINT ["tailback"]
CMD ["serve", "/etc/tailback"]
