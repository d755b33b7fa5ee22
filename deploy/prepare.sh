#!/usr/bin/env bash
# Makes what docker-compose.yml needs on this machine, and nothing twice: directories, the api's token, the database's password, Mesos' credentials.
#
#   sudo deploy/prepare.sh            then: docker-compose --env-file deploy/.env up -d
#
# $SWATH_DIR (/var/lib/swath) holds sandboxes, outputs, token and metrics; $SWATH_INPUTS ($SWATH_DIR/inputs) is where scenes are read from.
set -euo pipefail
cd "$(dirname "$0")"

directory=$(realpath --canonicalize-missing "${SWATH_DIR:-/var/lib/swath}")
inputs=$(realpath --canonicalize-missing "${SWATH_INPUTS:-$directory/inputs}")
user=${SWATH_UID:-10001} group=${SWATH_GID:-10001}
env_file=${SWATH_ENV_FILE:-.env}

secret() { python3 -c 'import secrets; print(secrets.token_urlsafe(32))'; }

mkdir -p "$directory/mesos" "$directory/outputs" "$directory/logs" "$directory/prometheus" "$inputs"
chown "$user:$group" "$directory/prometheus"

umask 077
if [ ! -e "$directory/token" ]; then
    secret > "$directory/token"
    # The api refuses a token that others may read, so it belongs to the user that the api runs as.
    chown "$user:$group" "$directory/token"
    echo "made the api's token: $directory/token"
fi
if [ ! -e "$env_file" ]; then
    {
        echo "POSTGRES_PASSWORD=$(secret)"
        echo "SWATH_DIR=$directory"
        echo "SWATH_INPUTS=$inputs"
        echo "SWATH_UID=$user"
        echo "SWATH_GID=$group"
    } > "$env_file"
    echo "made deploy/.env, with the database's password"
fi
# An .env that an earlier version has made lacks it.
if ! grep -q '^SWATH_SECRET=' "$env_file"; then
    echo "SWATH_SECRET=$(secret)" >> "$env_file"
fi
# In Mesos' own form: who may register at the master, who the agent is, who may ask the agent. Read by root in their containers.
credential() { printf '{"principal": "%s", "secret": "%s"}' "$1" "$2"; }
if [ ! -e "$directory/credentials/master" ]; then
    mkdir -p "$directory/credentials"
    swath=$(credential swath "$(sed -n 's/^SWATH_SECRET=//p' "$env_file")")
    agent=$(credential agent "$(secret)")
    echo "{\"credentials\": [$swath]}" > "$directory/credentials/agent-http"
    echo "$agent" > "$directory/credentials/agent"
    echo "{\"credentials\": [$swath, $agent]}" > "$directory/credentials/master"
    echo "made the credentials of master and agent: $directory/credentials"
fi
