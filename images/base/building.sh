# Sourced by images/build.sh and deploy/build.sh: which image to stand on, and how to call `docker build`.
#
# $BASE_IMAGE names the image with Python >= 3.11 to stand on. Unset, it is python:3.11-slim where a registry gives that, else the one
# that make-base.sh beside this file makes from Debian's packages. $BUILD_NETWORK (host) is the network that pip uses during a build.
# Where the network has a certificate authority of its own, $SSL_CERT_FILE names the bundle to trust while building; no image keeps it.

choose_base() {
    if [ -z "${BASE_IMAGE:-}" ]; then
        if docker pull --quiet python:3.11-slim >/dev/null 2>&1; then
            BASE_IMAGE=python:3.11-slim
        else
            BASE_IMAGE=swath/base:bookworm
            "$(dirname "${BASH_SOURCE[0]}")/make-base.sh" "$BASE_IMAGE"
        fi
    fi
    echo "base image: $BASE_IMAGE"
}

# docker_build CONTEXT ARGUMENT... : quiet unless it fails. One at a time in a context: the first to end takes the bundle away.
docker_build() (
    context=$1 result=0
    shift
    exec 9<"$context"
    flock 9
    if [ -s "${SSL_CERT_FILE:-}" ]; then
        mkdir -p "$context/build"
        cp -- "$SSL_CERT_FILE" "$context/build/ca-certificates.crt"
    fi
    output=$(docker build --force-rm --network "${BUILD_NETWORK:-host}" "$@" "$context" 2>&1) || result=$?
    if [ -d "$context/build" ]; then
        rm -f "$context/build/ca-certificates.crt"
        rmdir --ignore-fail-on-non-empty "$context/build"
    fi
    [ "$result" = 0 ] || echo "$output" >&2
    exit "$result"
)
