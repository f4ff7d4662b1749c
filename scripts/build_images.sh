#!/bin/sh
# Build the images of docker/Dockerfile without a daemon, with buildah.
set -eu

usage() {
    cat <<'TEXT'
Build the images of docker/Dockerfile without a daemon: with buildah, as root, on Debian or Ubuntu.

    scripts/build_images.sh [OPTION …] [airflow] [spark] [gpu] [postgres]

Default: the first three; `postgres`, a stand-in for the official image, where no image can be pulled.

options:
  --storage DIR         where images are kept (default: /var/tmp/nightcart-images); see below
  --base IMAGE          the Python 3.11 image to start from. Default: the one that the Dockerfile
                        names; where it cannot be pulled, one that debootstrap makes of Debian 12
  --torch-backend NAME  the torch build of the gpu image: cpu, cu130 … (uv's --torch-backend).
                        Default: cpu; "" takes what the package index or the folder of wheels has
  -h, --help            this text

environment:
  DEBIAN_MIRROR         for debootstrap (default: http://deb.debian.org/debian)
  BUILDAH_ISOLATION     default: chroot, which works inside most containers and virtual machines
  STORAGE_DRIVER        default: overlay where it works, else vfs, which copies every layer

pip's own settings (package mirror, find-links, certificate) are handed on: as build arguments, and
folders of this machine as read-only mounts. No image keeps them.

The images are called localhost/nightcart-{airflow,spark,gpu,postgres}:VERSION. To list or remove them:
    podman --root DIR/storage --runroot DIR/run images
    podman --root DIR/storage --runroot DIR/run system reset
TEXT
}

cd "$(dirname "$0")/.."
storage=/var/tmp/nightcart-images
base=
torch_backend=cpu
targets=
while [ $# -gt 0 ]; do
    case "$1" in
    --storage) storage=${2:?--storage DIR}; shift ;;
    --base) base=${2:?--base IMAGE}; shift ;;
    --torch-backend) torch_backend=${2?--torch-backend NAME}; shift ;;
    -h | --help) usage; exit ;;
    airflow | spark | gpu | postgres) targets="$targets $1" ;;
    *) echo "unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

fail() {
    echo "$*" >&2
    exit 1
}

# Install packages of Debian that lack their command.
need() {
    command -v "$1" >/dev/null && return
    command -v apt-get >/dev/null || fail "$1 is not on the PATH: install it"
    echo "installing $1"
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    apt-get update -qq >/dev/null || true
    apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

[ "$(id -u)" = 0 ] || fail "images are built as root: sudo $0"
need buildah
mkdir -p "$storage"
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"

engine() {
    buildah --root "$storage/storage" --runroot "$storage/run" "$@"
}

if [ -z "${STORAGE_DRIVER:-}" ]; then
    for STORAGE_DRIVER in overlay vfs; do
        export STORAGE_DRIVER
        engine images >/dev/null 2>&1 && break
    done
fi
# Steps are kept and shared by the three images, except where each would be a full copy.
layers=true
[ "$STORAGE_DRIVER" != vfs ] || layers=false

# Debian 12 with its Python 3.11, without manuals and translations, as an image.
make_base() {
    need debootstrap
    root=$storage/rootfs
    rm -rf "$root"
    echo "making $1 by debootstrap"
    debootstrap --variant=minbase \
        --include=ca-certificates,python3,python3-venv,python-is-python3 \
        bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$storage/debootstrap.log" ||
        fail "debootstrap failed; see $storage/debootstrap.log"
    # As Debian's slim images have it; here it also shows what a package misses in them.
    for unwanted in doc man locale info lintian; do
        rm -rf "${root:?}/usr/share/$unwanted"
        echo "path-exclude /usr/share/$unwanted/*"
    done >"$root/etc/dpkg/dpkg.cfg.d/slim"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*
    container=$(engine from scratch)
    mounted=$(engine mount "$container")
    cp -a "$root/." "$mounted/"
    engine config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        --cmd python "$container"
    engine commit --quiet --rm "$container" "$1" >/dev/null
    rm -rf "$root"
}

if [ -z "$base" ]; then
    base=docker.io/library/$(sed -n 's/^ARG PYTHON_IMAGE=//p' docker/Dockerfile)
    if ! timeout 600 buildah --root "$storage/storage" --runroot "$storage/run" \
        pull --quiet "$base" >/dev/null 2>"$storage/pull.log"; then
        echo "$base cannot be pulled: $(tail -n 1 "$storage/pull.log" | tail -c 200)"
        base=localhost/nightcart-python:3.11-bookworm
        engine inspect --type image "$base" >/dev/null 2>&1 || make_base "$base"
        [ -n "$targets" ] || targets="airflow spark gpu postgres"
    fi
fi
[ -n "$targets" ] || targets="airflow spark gpu"
echo "building on $base (storage: $storage, $STORAGE_DRIVER)"

pip_setting() {
    for section in :env: install global; do
        python3 -m pip config get "$section.$1" 2>/dev/null && return
    done
    return 0
}

# Words for `buildah bud`, one a line: a path or an address may not hold a space.
find_links=$(pip_setting find-links | tr -s ' \n' ',' | sed 's/,$//')
mirror=$(pip_setting index-url)
certificate=$(pip_setting cert)
arguments=
argument() {
    arguments="$arguments --build-arg $1"
}
if [ -n "$find_links" ]; then
    argument "UV_FIND_LINKS=$find_links"
    for place in $(echo "$find_links" | tr ',' ' '); do
        folder=${place#file://}
        [ ! -d "$folder" ] || arguments="$arguments --volume $folder:$folder:ro"
    done
fi
if [ -n "$mirror" ]; then
    argument "PIP_INDEX_URL=$mirror"
    argument "UV_DEFAULT_INDEX=$mirror"
fi
if [ -n "$certificate" ]; then
    # Not at its own place: packages of Debian rewrite the bundle in /etc/ssl.
    argument PIP_CERT=/run/certificate.pem
    argument SSL_CERT_FILE=/run/certificate.pem
    arguments="$arguments --volume $certificate:/run/certificate.pem:ro"
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
for target in $targets; do
    image=localhost/nightcart-$target:$version
    started=$(date +%s)
    file="docker/Dockerfile --target $target --ignorefile docker/Dockerfile.dockerignore"
    [ "$target" != postgres ] || file=docker/postgres.Dockerfile
    # --format docker: the other one has no health checks.
    # shellcheck disable=SC2086  # words
    engine bud --format docker --layers="$layers" --file $file --tag "$image" \
        --build-arg "PYTHON_IMAGE=$base" --build-arg "TORCH_BACKEND=$torch_backend" $arguments . \
        >"$storage/$target.log" 2>&1 || {
        tail -n 30 "$storage/$target.log" >&2
        fail "$target was not built; see $storage/$target.log"
    }
    size=$(engine images --format '{{.Size}}' "$image")
    echo "$image: $size, $(($(date +%s) - started)) s"
done
