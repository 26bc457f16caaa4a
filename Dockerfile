# `docker build .` makes the image: the static program, the public certificate authorities, the configuration that works
# as it is, and nothing else. For other platforms the program is compiled across, so that nothing is emulated. The
# classic builder knows neither BUILDPLATFORM nor TARGETARCH; both are this machine's then.
FROM --platform=${BUILDPLATFORM:-linux} golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH TARGETVARIANT
# An engine gives a user other than root no capability, whatever is added to the container. The file carries the one that
# half-open scans need; it is permitted and not effective, so that the program starts where it is dropped as well.
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH GOARM=${TARGETVARIANT#v} make build \
	&& install -D -m 755 portscan_exporter /image/bin/portscan_exporter \
	&& install -D -m 644 config.yml /image/etc/portscan_exporter/config.yml \
	&& install -D -m 644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
	&& CGO_ENABLED=0 go run -trimpath -buildvcs=false ./deploy/filecap /image/bin/portscan_exporter

FROM scratch
LABEL org.opencontainers.image.title="portscan_exporter" \
	org.opencontainers.image.description="A Prometheus exporter that watches ports" \
	org.opencontainers.image.licenses="Apache-2.0"
# The folder as a whole: the classic builder drops capabilities from a file that is copied alone.
COPY --from=build /image/ /
# config.yml is looked for here.
WORKDIR /etc/portscan_exporter
USER 65534:65534
EXPOSE 10115
HEALTHCHECK --interval=30s --timeout=6s CMD ["/bin/portscan_exporter", "healthcheck"]
ENTRYPOINT ["/bin/portscan_exporter"]
