# The service as an image. It needs no privileged mode: NET_ADMIN and NET_RAW, /dev/net/tun for IPsec, and
# three sysctls that only the one who starts the container may set (compose.yaml does all of it):
#   docker run --cap-add NET_ADMIN --cap-add NET_RAW --device /dev/net/tun --sysctl net.ipv4.ip_forward=1 \
#     --sysctl net.ipv6.conf.all.forwarding=1 --sysctl net.ipv4.nexthop_compat_mode=0 \
#     --volume "$PWD/config.yaml":/etc/bgpsvc/config.yaml:ro bgpsvc

FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY containers/build.lock containers/runtime.lock containers/
# The service's environment is made by the other one's pip, so that it carries none itself.
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/bgpsvc \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r containers/build.lock \
 && /opt/build/bin/pip --python /opt/bgpsvc/bin/python install --no-cache-dir --require-hashes -r containers/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY bgpsvc bgpsvc
COPY api api
COPY exabgp-conf exabgp-conf
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/bgpsvc/bin/python install --no-deps --no-index /dist/*.whl

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 iproute2 iputils-ping nftables tini \
    strongswan-charon strongswan-swanctl libcharon-extra-plugins libstrongswan-standard-plugins \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/bgpsvc /opt/bgpsvc
ENV PATH=/opt/bgpsvc/bin:$PATH PYTHONUNBUFFERED=1
# Keys and control sockets: the daemon refuses a directory that others could read.
RUN install --directory --mode=0700 /var/lib/bgpsvc
VOLUME /var/lib/bgpsvc
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8179/healthz', timeout=4)"]
# The speakers outlive the daemon on purpose; tini reaps what it leaves behind.
ENTRYPOINT ["tini", "-g", "--"]
# Tunnels by charons of its own, whatever the host's kernel has: no other charon runs in here. A daemon that crashes
# or hangs is started again, while what it left behind keeps forwarding.
CMD ["bgpsvc", "serve", "--config", "/etc/bgpsvc/config.yaml", "--state-dir", "/var/lib/bgpsvc", \
     "--listen", "127.0.0.1:8179", "--ipsec", "userspace", "--watchdog", "30"]
