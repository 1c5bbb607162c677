#!/usr/bin/env bash
# What a CI job does to get this app's image into a registry that wharfinger manages. `./pipeline.sh --help` tells the inputs.
set +x # a traced run must not show the key
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: ./pipeline.sh [--help]

Creates the repository if it is missing, asks wharfinger for a docker credential that reaches this repository alone, builds
the image, pushes it, and prints its reference by digest. Where a cluster is named, it deploys what it pushed and waits for
the end of the rollout: the last line is the URL that answers. Safe to run again: where the tags are immutable and TAG is
there already, that image is taken and not built anew; and what is deployed is the digest of this run, whoever pushes beside it.

Needed in the environment:
  WHARFINGER_URL  where wharfinger answers, e.g. https://wharfinger.example.com
  WHARFINGER_KEY  an API key (whf_…) of a developer for this repository

Optional:
  REPOSITORY      the repository's name (myapp)
  TAG             the image's tag, and the version the app reports (short hash of the git commit)
  REGISTRY        name of a registry in wharfinger's settings (its default one)
  BASE_IMAGE      base of the image (the one in the Dockerfile)
  CLUSTER         a cluster in wharfinger's settings, to deploy to; the key then needs the role deployer there too
  NAMESPACE       where to deploy (default)
  WORKLOAD        name of the Deployment and the Service (the last part of REPOSITORY)
  DEPLOY_WAIT     seconds to wait for the rollout (600)

Needs curl, and docker with a running engine or else buildah. buildah's own variables (BUILDAH_ISOLATION, STORAGE_DRIVER,
CONTAINERS_CONF, …) are respected: a job inside a container usually sets BUILDAH_ISOLATION=chroot and STORAGE_DRIVER=vfs.
TEXT
}

fail() { # message, status (1)
    echo "pipeline: $1" >&2
    exit "${2:-1}"
}

check_inputs() {
    [[ -n ${WHARFINGER_URL:-} ]] || fail 'WHARFINGER_URL is not set: where does wharfinger answer? See --help.' 2
    [[ -n ${WHARFINGER_KEY:-} ]] || fail 'WHARFINGER_KEY is not set: an API key, whf_…. See --help.' 2
    [[ $WHARFINGER_URL =~ ^https?://[^[:space:]]+$ ]] || fail 'WHARFINGER_URL must start with http:// or https://.' 2
    [[ $WHARFINGER_KEY =~ ^whf_[[:graph:]]+$ ]] || fail 'WHARFINGER_KEY must be one word that starts with whf_.' 2
    # Both end up in JSON and in URLs: what the patterns let through needs no quoting there.
    local part='[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*'
    [[ $REPOSITORY =~ ^$part(/$part)*$ ]] || fail "REPOSITORY: '$REPOSITORY' is no repository name." 2
    [[ $TAG =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail "TAG: '$TAG' is no image tag." 2
    [[ $REGISTRY =~ ^[a-z0-9._-]*$ ]] || fail "REGISTRY: '$REGISTRY' is no registry name." 2
    local label='[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?'
    [[ $CLUSTER =~ ^[a-z0-9._-]*$ ]] || fail "CLUSTER: '$CLUSTER' is no cluster name." 2
    [[ $NAMESPACE =~ ^$label$ ]] || fail "NAMESPACE: '$NAMESPACE' is no namespace." 2
    [[ -z $CLUSTER || $WORKLOAD =~ ^$label$ ]] || fail "WORKLOAD: '$WORKLOAD' is no name of a Deployment." 2
    [[ $DEPLOY_WAIT =~ ^[0-9]{1,4}$ ]] || fail "DEPLOY_WAIT: '$DEPLOY_WAIT' is no number of seconds." 2
    command -v curl >/dev/null || fail 'curl is needed.' 2
}

choose_engine() {
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        engine=docker
    elif command -v buildah >/dev/null; then
        engine=buildah
    else
        fail 'neither a running docker engine nor buildah was found.' 2
    fi
}

# Asks wharfinger: the answer's status is left in $status, its body in $work/body. The key goes in by a file descriptor:
# what is on a command line, other users of the machine can read.
call() { # path, more flags of curl
    local path=$1 join='?'
    shift
    if [[ $path == *\?* ]]; then join='&'; fi
    status=$(curl --silent --show-error --max-time 90 --output "$work/body" --write-out '%{http_code}' \
        --header @<(printf 'Authorization: Bearer %s\n' "$WHARFINGER_KEY") "$@" \
        "${WHARFINGER_URL%/}$path${REGISTRY:+${join}registry=$REGISTRY}")
}

refused() { # what was asked
    fail "$1: wharfinger answered $status: $(<"$work/body")"
}

create_repository() {
    # One key for this run, so that repeating the request when the answer is lost creates nothing twice.
    call /v1/repositories --retry 3 --header "Idempotency-Key: pipeline-$(new_id)" \
        --header 'Content-Type: application/json' --data "{\"name\":\"$REPOSITORY\"}"
    if [[ $status == 409 ]] && grep -Eq '"code": *"repository_exists"' "$work/body"; then
        echo "repository $REPOSITORY: exists"
    elif [[ $status == 201 ]]; then
        echo "repository $REPOSITORY: created"
    else
        refused "create repository $REPOSITORY"
    fi
}

new_id() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

find_uri() {
    call "/v1/repositories/$REPOSITORY" --retry 3 --header 'Accept: text/plain'
    [[ $status == 200 ]] || refused "get repository $REPOSITORY"
    uri=$(<"$work/body")
    [[ $uri == */"$REPOSITORY" ]] || fail "unexpected repository URI: $uri"
    host=${uri%%/*}
}

# Whether the repository that was just read keeps this tag from being moved.
is_immutable() {
    local mode filter is_excluded=
    mode=$(sed -nE 's/.*"tag_mutability": *"([A-Z_]+)".*/\1/p' "$work/body")
    while read -r filter || [[ -n $filter ]]; do
        # shellcheck disable=SC2053 # an exclusion is a wildcard
        if [[ $TAG == $filter ]]; then is_excluded=yes; fi
    done < <(sed -nE 's/.*"mutability_exclusions": *\[([^]]*)\].*/\1/p' "$work/body" | tr -d '" ' | tr ',' '\n')
    case $mode in
        IMMUTABLE) true ;;
        IMMUTABLE_WITH_EXCLUSION) [[ -z $is_excluded ]] ;;
        MUTABLE_WITH_EXCLUSION) [[ -n $is_excluded ]] ;;
        *) false ;;
    esac
}

# An immutable tag that is there can't be pushed once more, and need not be.
find_pushed() {
    call "/v1/repositories/$REPOSITORY" --retry 3 --header 'Accept: application/json'
    [[ $status == 200 ]] || refused "get repository $REPOSITORY"
    is_immutable || return 1
    call "/v1/images/$REPOSITORY:$TAG" --retry 3 --header 'Accept: text/plain'
    if [[ $status == 404 ]]; then return 1; fi
    [[ $status == 200 ]] || refused "get image $REPOSITORY:$TAG"
    digest=$(sed 's/.*@//' "$work/body")
    echo "image $REPOSITORY:$TAG: exists, and its tag is immutable"
}

log_in() {
    tls=()
    if [[ $engine == buildah ]]; then
        # A file of our own for the login, and plain HTTP only for a registry on this machine, as docker has it.
        export REGISTRY_AUTH_FILE=$work/auth.json
        if [[ $host =~ ^(localhost|127\.[0-9.]+)(:[0-9]+)?$ ]]; then tls=(--tls-verify=false); fi
    fi
    # Not repeated: each vending is a new credential.
    call /v1/tokens --header 'Accept: text/plain' --header 'Content-Type: application/json' \
        --data "{\"repositories\":[\"$REPOSITORY\"],\"actions\":[\"push\",\"pull\"]}"
    [[ $status == 200 ]] || refused "vend a credential for $REPOSITORY"
    "$engine" login --username AWS --password-stdin "${tls[@]}" "$host" <"$work/body" >/dev/null
    rm "$work/body"
    logged_in=yes
    echo "logged in to $host with $engine"
}

log_out() {
    if [[ -n ${logged_in:-} ]]; then "$engine" logout "$host" >/dev/null 2>&1 || true; fi
    rm -rf "$work"
}

build_and_push() {
    local flags=(--build-arg "APP_VERSION=$TAG" --tag "$uri:$TAG")
    if [[ -n ${BASE_IMAGE:-} ]]; then flags+=(--build-arg "BASE_IMAGE=$BASE_IMAGE"); fi
    if [[ $engine == docker ]]; then
        docker build "${flags[@]}" .
        docker push "$uri:$TAG"
        digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$uri:$TAG" |
            sed -n "s|^$uri@||p" | sed -n '$p')
    else
        # The Docker format keeps the health check, which the OCI format has no place for.
        buildah build --format docker "${flags[@]}" .
        buildah push "${tls[@]}" --digestfile "$work/digest" "$uri:$TAG"
        digest=$(<"$work/digest")
    fi
    [[ $digest == sha256:* ]] || fail "$engine does not say which digest it pushed: '$digest'"
    echo "pushed $uri:$TAG"
}

deploy() {
    # The key makes the repeat safe: it waits for the same deployment once more.
    call "/v1/deployments?wait=$DEPLOY_WAIT" --retry 1 --max-time $((DEPLOY_WAIT + 60)) \
        --header "Idempotency-Key: pipeline-$(new_id)" --header 'Accept: text/plain' \
        --header 'Content-Type: application/json' \
        --data "{\"cluster\":\"$CLUSTER\",\"namespace\":\"$NAMESPACE\",\"name\":\"$WORKLOAD\",\"image\":\"$REPOSITORY:$TAG@$digest\",\"port\":8080}"
    [[ $status == 200 ]] || refused "deploy $REPOSITORY:$TAG to $CLUSTER"
    echo "deployed $REPOSITORY:$TAG to $CLUSTER"
    cat "$work/body"
}

if [[ ${1:-} == --help ]]; then
    usage
    exit
fi
(($# == 0)) || fail "unknown argument '$1'. See --help." 2
cd "$(dirname "$0")"
REPOSITORY=${REPOSITORY:-myapp}
REGISTRY=${REGISTRY:-}
TAG=${TAG:-$(git rev-parse --short HEAD 2>/dev/null || echo dev)}
CLUSTER=${CLUSTER:-}
NAMESPACE=${NAMESPACE:-default}
WORKLOAD=${WORKLOAD:-${REPOSITORY##*/}}
DEPLOY_WAIT=${DEPLOY_WAIT:-600}
check_inputs
choose_engine

work=$(mktemp -d)
trap log_out EXIT
create_repository
find_uri
if ! find_pushed; then
    log_in
    build_and_push
fi
echo "$uri@$digest"
if [[ -n $CLUSTER ]]; then deploy; fi
