# The service as an image. It needs no privileged mode: some capabilities, /dev/net/tun for IPsec in user space, and
# three sysctls that only the one who starts the container may set (docs/how-to/containers.md, compose.yaml):
#   docker run --name gw1 --cap-drop ALL --cap-add NET_ADMIN --cap-add NET_RAW --cap-add NET_BIND_SERVICE \
#     --read-only --tmpfs /run --tmpfs /tmp --security-opt no-new-privileges --device /dev/net/tun \
#     --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv6.conf.all.forwarding=1 --sysctl net.ipv4.nexthop_compat_mode=0 \
#     --volume "$PWD/config.yaml":/etc/bgpsvc/config.yaml:ro bgpsvc
# From what changes rarely to what changes often; the second stage begins with what the first one installed.

FROM debian:bookworm-slim AS system
# python3-pip-whl is for the next stage, which need not ask for the list of packages again.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 python3-pip-whl iproute2 iputils-ping nftables \
    tini strongswan-charon strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

FROM system AS build
WORKDIR /src
COPY containers/build.lock containers/runtime.lock containers/
# Both environments are made by Debian's pip, so that neither carries one itself.
RUN python3 -m zipfile -e /usr/share/python-wheels/pip-*.whl /opt/pip \
 && printf '#!/bin/sh\nexec python3 /opt/pip/pip --python "$@"\n' > /usr/local/bin/pip-for \
 && chmod +x /usr/local/bin/pip-for \
 && python3 -m venv --without-pip /opt/build \
 && python3 -m venv --without-pip /opt/bgpsvc \
 && pip-for /opt/build install --no-cache-dir --require-hashes -r containers/build.lock \
 && pip-for /opt/bgpsvc install --no-cache-dir --require-hashes -r containers/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY bgpsvc bgpsvc
COPY api api
COPY exabgp-conf exabgp-conf
# Apart from what it depends on, so that a change of the service is a small layer.
RUN pip-for /opt/build wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && pip-for /opt/bgpsvc install --no-deps --no-index --prefix /app /dist/*.whl

FROM system
COPY --from=build /opt/bgpsvc /opt/bgpsvc
COPY --from=build /app /opt/bgpsvc
ENV PATH=/opt/bgpsvc/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Keys and control sockets: the daemon refuses a directory that others could read.
RUN install --directory --mode=0700 /var/lib/bgpsvc && rm -r /usr/share/python-wheels
VOLUME /var/lib/bgpsvc
# Ready, as /readyz says: asked over the daemon's own socket, whatever --listen says. A daemon that hangs is not for
# the engine to kill, which would end its tunnels too: its watchdog sees to that.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import sys; sys.tracebacklimit = 0; from bgpsvc.cli.client import Client; Client(None).get('/readyz')"]
# The speakers outlive the daemon on purpose; tini reaps what it leaves behind. Signals are for the watchdog alone, which
# passes them on when the daemon can take them: a SIGHUP before would end it.
ENTRYPOINT ["tini", "--"]
# Tunnels by charons of its own, whatever the host's kernel has: no other charon runs in here. A daemon that crashes
# or hangs is started again, while what it left behind keeps forwarding.
CMD ["bgpsvc", "serve", "--config", "/etc/bgpsvc/config.yaml", "--state-dir", "/var/lib/bgpsvc", \
     "--listen", "127.0.0.1:8179", "--ipsec", "userspace", "--watchdog", "30"]
# Last: a revision is another one each time. VERSION is that of pyproject.toml.
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="bgpsvc" \
      org.opencontainers.image.description="Site-to-site VPN gateway: two IPsec tunnels per connection, BGP, failover" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
