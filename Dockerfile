# syntax=docker/dockerfile:1
# One image for each of our three programs: --target gateway, processors, agent. compose.yaml builds and runs them.

FROM node:22-bookworm-slim AS page
WORKDIR /src/gateway/web
COPY gateway/web/package.json gateway/web/package-lock.json ./
RUN npm ci
COPY gateway/web ./
RUN npm run build

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY agent agent
COPY bench bench
COPY gateway gateway
COPY nats nats
COPY processors processors
COPY schemas schemas
COPY streams streams
COPY tests tests
COPY xtask xtask
COPY --from=page /src/gateway/web/dist gateway/web/dist
RUN cargo build --locked --release --package watchkeeper-gateway --package watchkeeper-processors
# The agent as it is shipped elsewhere, too: small, without shared libraries.
RUN RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile agent --package watchkeeper-agent \
        --target "$(rustc -vV | sed -n 's/^host: //p')" \
    && cp target/*/agent/watchkeeper-agent target/release/

# What all three stand on: certificates of public authorities, a user who is nobody, and the folders that volumes begin
# as: a new volume takes the owner of the folder it covers.
FROM debian:bookworm-slim AS base
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin watchkeeper \
    && install -d -o watchkeeper -g watchkeeper -m 0750 \
        /data/nats /data/nats/operator /data/nats/gateway /data/gateway /data/questdb /data/questdb-admin /data/questdb-reader \
    && install -d -o watchkeeper -g watchkeeper -m 0700 /var/lib/watchkeeper-agent
USER 10001:10001

FROM base AS gateway
COPY --from=build /src/target/release/watchkeeper-gateway /usr/local/bin/
COPY processors/questdb.conf /usr/share/watchkeeper/questdb.conf
ENTRYPOINT ["watchkeeper-gateway"]
CMD ["run"]

FROM base AS processors
COPY --from=build /src/target/release/watchkeeper-processors /usr/local/bin/
ENTRYPOINT ["watchkeeper-processors"]

FROM base AS agent
COPY --from=build /src/target/release/watchkeeper-agent /usr/local/bin/
ENV WATCHKEEPER_DIR=/var/lib/watchkeeper-agent WATCHKEEPER_ROOT=/host
ENTRYPOINT ["watchkeeper-agent"]
CMD ["run"]
