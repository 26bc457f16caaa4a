# The image contains only the static program, public certificate authorities and config.yml. Other platforms are
# cross-compiled without emulation. The classic builder does not set BUILDPLATFORM and TARGETARCH; the defaults build
# for this machine.
FROM --platform=${BUILDPLATFORM:-linux} golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH TARGETVARIANT
# Container engines grant added capabilities only to root. The file capability is permitted but not effective, so the
# program also starts if the container drops CAP_NET_RAW.
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} make build \
	&& install -D -m 755 portscan_exporter /image/bin/portscan_exporter \
	&& install -D -m 644 config.yml /image/etc/portscan_exporter/config.yml \
	&& install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
	&& CGO_ENABLED=0 go run -trimpath -buildvcs=false ./deploy/filecap /image/bin/portscan_exporter

FROM scratch
LABEL org.opencontainers.image.title="portscan_exporter" \
	org.opencontainers.image.description="Prometheus exporter for port scans" \
	org.opencontainers.image.licenses="Apache-2.0"
# Copy the directory: the classic builder drops the capabilities of a single file.
COPY --from=build /image/ /
# Directory of config.yml.
WORKDIR /etc/portscan_exporter
USER 65534:65534
EXPOSE 10115
# It reads the same environment variables as the exporter; see docs/cli.md.
HEALTHCHECK --interval=30s --timeout=6s CMD ["/bin/portscan_exporter", "healthcheck"]
ENTRYPOINT ["/bin/portscan_exporter"]
