# The image of Spanlake: the program and the C++ library that DuckDB needs, nothing else.
#
#   docker build -t spanlake .
#
# docker-compose.yml runs it. How to run it alone is in docs/operations.md.

# ---- build
# Debian 12, as below: a program that is linked with a newer glibc does not start on an older one.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
# With .git, so that `spanlake --version` tells the commit. In a git worktree, where .git is a file: --build-arg BUILDVCS=false
ARG BUILDVCS=auto
COPY . .
# Modules are kept in a cache rather than a layer: `go mod download` would fetch DuckDB for six systems.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    GOCACHE=/go/build-cache CGO_ENABLED=1 go build -trimpath -buildvcs=$BUILDVCS -ldflags="-s -w" -o /out/spanlake ./cmd/spanlake
# A new volume takes the owner of the folder that it is mounted on.
RUN mkdir -p /out/.dbdata

# ---- run
# glibc, libstdc++ and libgcc_s, which is what `ldd spanlake` asks for. Its tags are not versions; pin a digest where builds have to repeat.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/spanlake /usr/local/bin/spanlake
COPY --from=build --chown=65532:65532 /out/.dbdata /app/.dbdata
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
WORKDIR /app
# What is published has to listen on the container's own address. Without API keys and TLS Spanlake refuses that, until
# SPANLAKE_INSECURE=true says that the network is trusted.
ENV SPANLAKE_OTLP_GRPC=0.0.0.0:4317 \
    SPANLAKE_OTLP_HTTP=0.0.0.0:4318 \
    SPANLAKE_LISTEN=0.0.0.0:1323
VOLUME /app/.dbdata
EXPOSE 4317 4318 1323
# Right for serve and backend; ingest listens elsewhere.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/bin/spanlake", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/spanlake"]
CMD ["serve"]
