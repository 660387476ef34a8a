#!/usr/bin/env bash
# Asks a running Spanlake all that its OpenAPI document allows, and what it does not allow, with Schemathesis: no answer may be an error of
# the server, or another one than the document says.
#
#   test/openapi/run.sh BINARY
#
# BINARY is a built spanlake. Schemathesis is installed once, in a pinned version, into a cache folder; where there is no Python for it, the
# run is skipped and said to be.
set -euo pipefail

if [ $# != 1 ] || [ ! -x "$1" ]; then
  echo "usage: $0 BINARY" >&2
  exit 2
fi
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/spanlake-ci/openapi
# Enough to reach every parameter of every operation several times; a longer run: SCHEMATHESIS_EXAMPLES=1000.
examples=${SCHEMATHESIS_EXAMPLES:-25}

if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "skipped: Schemathesis: no python3 from 3.10 on with venv"
  exit 0
fi
if ! cmp -s "$here/requirements.txt" "$cache/installed"; then
  rm -rf "$cache"
  mkdir -p "$cache"
  if ! python3 -m venv "$cache/venv" ||
    ! "$cache/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"; then
    echo "skipped: Schemathesis: it cannot be installed"
    exit 0
  fi
  cp "$here/requirements.txt" "$cache/installed" # at the end: what was interrupted is not taken for whole
fi

work=$(mktemp -d)
server=
finish() {
  local code=$?
  if [ -n "$server" ]; then
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  if [ "$code" != 0 ] && [ -s "$work/serve.log" ]; then
    echo "--- the end of the log of spanlake serve" >&2
    tail -n 40 "$work/serve.log" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

# ---- a server with spans, no settings but these, on any free ports
cd "$work" # no file .env is here
settings=(PATH="$PATH" HOME="$work" SPANLAKE_OTLP_GRPC=127.0.0.1:0 SPANLAKE_OTLP_HTTP=127.0.0.1:0 SPANLAKE_LISTEN=127.0.0.1:0)
env -i "${settings[@]}" "$binary" sample --traces 300 >/dev/null
env -i "${settings[@]}" "$binary" serve >"$work/serve.log" 2>&1 &
server=$!
url=
for _ in $(seq 300); do
  url=$(sed -n 's/.*msg="following the lake".* url=\([^ ]*\).*/\1/p' "$work/serve.log" | head -n 1)
  if [ -n "$url" ] && env -i "${settings[@]}" "$binary" index >/dev/null 2>&1; then
    break
  fi
  kill -0 "$server" 2>/dev/null || { echo "spanlake serve has ended" >&2; exit 1; }
  sleep 0.1
done

# ---- what is asked. An export of everything and a stream that never ends are asked for by other tests.
"$cache/venv/bin/schemathesis" run "$url/openapi.json" --url "$url" --seed 5 --max-examples "$examples" --no-shrink --workers 2 \
  --phases examples,coverage,fuzzing --request-timeout 60 --suppress-health-check all \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
  --exclude-path /api/v1/tail --exclude-path /api/v1/export --continue-on-failure

if grep -E 'level=ERROR|panic' "$work/serve.log"; then
  echo "the server has logged errors" >&2
  exit 1
fi
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
[ "$code" = 0 ] || { echo "spanlake serve ended with $code" >&2; exit 1; }
