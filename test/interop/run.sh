#!/usr/bin/env bash
# Sends spans with the OpenTelemetry SDKs of Python and JavaScript and with telemetrygen to a running Spanlake, and compares what was
# made with what is in the lake and in the index. A stock Jaeger, if one can be built, writes to it and reads from it.
#
#   test/interop/run.sh BINARY
#
# BINARY is a built spanlake. What a runtime needs is installed once, in pinned versions, into a cache folder; what has no runtime here
# is skipped and said to be. Ends with 1 if anything that was sent is not found, is found twice, or is not equal.
set -euo pipefail

if [ $# != 1 ] || [ ! -x "$1" ]; then
  echo "usage: $0 BINARY" >&2
  exit 2
fi
binary=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/spanlake-ci/interop
telemetrygen_version=v0.161.0
jaeger_version=v1.76.0
key=interop-key-of-this-run
read_key=interop-key-that-reads

work=$(mktemp -d)
server= query=
finish() {
  local code=$? process
  for process in $server $query; do
    kill -KILL "$process" 2>/dev/null || true
    wait "$process" 2>/dev/null || true
  done
  if [ "$code" != 0 ] && [ -s "$work/serve.log" ]; then
    echo "--- the end of the log of spanlake serve" >&2
    tail -n 40 "$work/serve.log" >&2
  fi
  rm -rf "$work"
  exit "$code"
}
trap finish EXIT

fail() {
  echo "failed: $*" >&2
  exit 1
}

# free_port prints a port of this machine that nobody listens on.
free_port() {
  local port
  while :; do
    port=$((RANDOM % 10000 + 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && ! grep -qsx "$port" "$work/ports"; then
      echo "$port" >>"$work/ports"
      echo "$port"
      return
    fi
  done
}

# installed FOLDER LIST makes sure that FOLDER is what LIST asks for: `install_into FOLDER` is called if it is not. It fails if
# that fails, as without a network.
installed() {
  if ! cmp -s "$2" "$1/installed"; then
    rm -rf "$1"
    mkdir -p "$1"
    install_into "$1" || return
    cp "$2" "$1/installed" # at the end: what was interrupted is not taken for whole
  fi
}

# ---- what is there to test with
python= node= telemetrygen= jaeger=

if ! command -v python3 >/dev/null; then
  echo "skipped: Python: no python3"
elif ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "skipped: Python: python3 is older than 3.10 or has no venv"
else
  install_into() {
    python3 -m venv "$1/venv" &&
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/requirements.txt"
  }
  if installed "$cache/python" "$here/requirements.txt"; then
    python=$cache/python/venv/bin/python
  else
    echo "skipped: Python: its packages cannot be installed"
  fi
fi

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "skipped: JavaScript: no node or no npm"
elif ! node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 6) ? 0 : 1)'; then
  echo "skipped: JavaScript: node is older than 20.6"
elif [ -z "$python" ]; then
  echo "skipped: JavaScript: no Python to read the Parquet files with"
else
  install_into() {
    cp "$here/package.json" "$here/package-lock.json" "$1/" &&
    (cd "$1" && npm ci --silent --no-audit --no-fund --ignore-scripts)
  }
  if installed "$cache/javascript" "$here/package-lock.json"; then
    node=node
  else
    echo "skipped: JavaScript: its packages cannot be installed"
  fi
fi

if ! command -v go >/dev/null; then
  echo "skipped: telemetrygen: no go"
else
  telemetrygen=$cache/telemetrygen-$telemetrygen_version/telemetrygen
  if [ ! -x "$telemetrygen" ]; then
    if ! GOBIN=$(dirname "$telemetrygen") GOFLAGS=-buildvcs=false \
      go install "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@$telemetrygen_version"; then
      echo "skipped: telemetrygen: it cannot be installed"
      telemetrygen=
    fi
  fi
fi

# build_jaeger FILE builds Jaeger from its module, which cannot be installed as it is: it replaces another module.
build_jaeger() {
  local folder
  folder=$(cd "$work" && go mod download -json "github.com/jaegertracing/jaeger@$jaeger_version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') &&
  [ -n "$folder" ] && cp -r "$folder" "$work/jaeger" && chmod -R u+w "$work/jaeger" &&
  echo "building Jaeger $jaeger_version, which takes some minutes the first time" &&
  (cd "$work/jaeger" && GOFLAGS=-buildvcs=false go build -trimpath -ldflags "-s -w" -o "$1" ./cmd/jaeger) &&
  rm -rf "$work/jaeger"
}
if [ -z "$telemetrygen" ]; then
  echo "skipped: Jaeger: no telemetrygen to send it spans with"
elif ! command -v curl >/dev/null; then
  echo "skipped: Jaeger: no curl"
else
  jaeger=$cache/jaeger-$jaeger_version/jaeger
  if [ ! -x "$jaeger" ] && ! build_jaeger "$jaeger"; then
    echo "skipped: Jaeger: it cannot be built"
    jaeger=
  fi
fi

if [ -z "$python$node$telemetrygen" ]; then
  exit 0
fi

# ---- the server, with no settings but these
grpc=$(free_port) http=$(free_port) listen=$(free_port)
settings=(
  PATH="$PATH" HOME="$work"
  JUNJO_SPAN_STORAGE_PATH="$work/spans" JUNJO_DUCKDB_PATH="$work/duckdb/spanlake.duckdb" JUNJO_WAL_SQLITE_PATH="$work/sqlite/wal.db"
  SPANLAKE_KEYS_FILE="$work/keys.json" SPANLAKE_API_KEYS="$key" SPANLAKE_READ_API_KEYS="$read_key"
  SPANLAKE_OTLP_GRPC="127.0.0.1:$grpc" SPANLAKE_OTLP_HTTP="127.0.0.1:$http" SPANLAKE_LISTEN="127.0.0.1:$listen"
)
cd "$work" # no file .env is here
spanlake() { env -i "${settings[@]}" "$binary" "$@"; }
env -i "${settings[@]}" "$binary" serve >"$work/serve.log" 2>&1 &
server=$!
for _ in $(seq 300); do
  if spanlake healthcheck >/dev/null 2>&1; then
    break
  fi
  kill -0 "$server" 2>/dev/null || fail "spanlake serve has ended"
  sleep 0.1
done
spanlake healthcheck >/dev/null || fail "spanlake serve does not answer after 30 s"

# number QUERY prints the one number that a query results in.
number() { spanlake sql --csv "$1" | tail -n 1; }

# wait_for N QUERY waits until a query results in N: files are indexed soon after they are flushed.
wait_for() {
  local found
  for _ in $(seq 150); do
    found=$(number "$2")
    if [ "$found" = "$1" ]; then
      return 0
    fi
    sleep 0.2
  done
  echo "after 30 s: $found, want $1: $2" >&2
  return 1
}

# ---- the SDKs
expected=() made=0
# send NAME COMMAND... runs a sender, which prints first how many spans it made.
send() {
  local name=$1 line
  shift
  line=$("$@" "$work/$name.json" 2>"$work/$name.log") || { cat "$work/$name.log" >&2; fail "$name"; }
  echo "$line"
  made=$((made + ${line%% *}))
  expected+=("$work/$name.json")
}

if [ -n "$python" ]; then
  export OTEL_EXPORTER_OTLP_HEADERS="x-junjo-api-key=$key"
  send python-grpc "$python" "$here/send.py" grpc "http://127.0.0.1:$grpc"
  send python-http "$python" "$here/send.py" http "http://127.0.0.1:$http"
fi
if [ -n "$node" ]; then
  export OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20$key" INTEROP_PACKAGES=$cache/javascript
  send javascript-grpc "$node" "$here/send.mjs" grpc "http://127.0.0.1:$grpc"
  send javascript-http-json "$node" "$here/send.mjs" http-json "http://127.0.0.1:$http"
  send javascript-http-proto "$node" "$here/send.mjs" http-proto "http://127.0.0.1:$http"
fi
unset OTEL_EXPORTER_OTLP_HEADERS
if [ -n "$python" ]; then
  spanlake flush
  wait_for "$made" "SELECT count(*) FROM span_metadata" || true # what is missing is said below
  spanlake sql --json "SELECT trace_id, span_id FROM span_metadata" >"$work/index.json"
  "$python" "$here/compare.py" "$work/spans" "$work/index.json" "${expected[@]}" || {
    cat "$work"/python-*.log "$work"/javascript-*.log >&2 2>/dev/null || true
    fail "what the SDKs sent is not what is in the lake"
  }
fi

# ---- telemetrygen, as fast as it can
# generate SERVICE SPANS ARGUMENT... sends so many spans, and counts them in the files and in the index. telemetrygen makes two per trace.
generate() {
  local service=$1 spans=$2 before=$SECONDS files index
  shift 2
  # The SDK that it uses drops what does not fit in its queue; here all does.
  OTEL_BSP_MAX_QUEUE_SIZE=1000000 "$telemetrygen" traces --otlp-insecure --otlp-header "authorization=\"Bearer $key\"" --rate 0 \
    --service "$service" "$@" >"$work/telemetrygen.log" 2>&1 || { tail -n 20 "$work/telemetrygen.log" >&2; fail "telemetrygen"; }
  spanlake flush
  files="FROM read_parquet('$work/spans/**/*.parquet', hive_partitioning = false, union_by_name = true) WHERE service_name = '$service'"
  index="FROM span_metadata WHERE service_name = '$service'"
  wait_for "$spans" "SELECT count(*) $index" || fail "$service: not all spans are in the index"
  wait_for "$spans" "SELECT count(*) $files" || fail "$service: not as many rows in the lake as spans were sent"
  wait_for "$spans" "SELECT count(DISTINCT trace_id || span_id) $files" || fail "$service: spans are in the lake more than once"
  echo "$spans spans sent by telemetrygen ($service), all found once, $((SECONDS - before)) s"
}

if [ -n "$telemetrygen" ]; then
  generate telemetrygen-grpc 200000 --otlp-endpoint "127.0.0.1:$grpc" --workers 2 --traces 50000
  generate telemetrygen-http 100000 --otlp-endpoint "127.0.0.1:$http" --otlp-http --workers 2 --traces 25000
  # Each span in a request of its own, each of which waits for the disk.
  generate telemetrygen-single 8000 --otlp-endpoint "127.0.0.1:$grpc" --batch=false --workers 20 --traces 200
fi

# ---- Jaeger: what is sent to it is written to Spanlake, and what it shows is read from there
if [ -n "$jaeger" ]; then
  api=$(free_port)/api otlp=$(free_port)
  # The configuration of docs/jaeger.md with a writer, the ports of this run and its keys.
  cat >"$work/jaeger.yaml" <<EOF
service:
  extensions: [jaeger_storage, jaeger_query]
  telemetry: {metrics: {level: none}}
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [jaeger_storage_exporter]
extensions:
  jaeger_query:
    storage:
      traces: spanlake
    http:
      endpoint: 127.0.0.1:${api%/api}
    grpc:
      endpoint: 127.0.0.1:$(free_port)
  jaeger_storage:
    backends:
      spanlake:
        grpc:
          endpoint: 127.0.0.1:$listen
          headers: {authorization: "Bearer $read_key"}
          tls:
            insecure: true
          writer:
            endpoint: 127.0.0.1:$grpc
            headers: {authorization: "Bearer $key"}
            tls:
              insecure: true
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:$otlp
exporters:
  jaeger_storage_exporter:
    trace_storage: spanlake
EOF
  "$jaeger" --config "$work/jaeger.yaml" >"$work/jaeger.log" 2>&1 &
  query=$!
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$otlp") 2>/dev/null; then
      break
    fi
    kill -0 "$query" 2>/dev/null || { tail -n 20 "$work/jaeger.log" >&2; fail "Jaeger has ended"; }
    sleep 0.1
  done
  # shows ADDRESS PATH TEXT asks until an answer has a text.
  shows() {
    local answer
    for _ in $(seq 50); do
      answer=$(curl -s -H "authorization: Bearer $read_key" "http://127.0.0.1:$1$2" || true)
      if [[ $answer == *"$3"* ]]; then
        return 0
      fi
      sleep 0.2
    done
    tail -n 20 "$work/jaeger.log" >&2
    fail "port $1$2 does not show $3: $answer"
  }
  "$telemetrygen" traces --otlp-insecure --otlp-endpoint "127.0.0.1:$otlp" --service through-jaeger --traces 50 --rate 0 --status-code Error \
    >"$work/telemetrygen.log" 2>&1 || { tail -n 20 "$work/telemetrygen.log" >&2; fail "telemetrygen through Jaeger"; }
  # Unflushed, and then from the files.
  for moment in unflushed indexed; do
    for address in "$api" "$listen/api"; do
      shows "$address" /services '"through-jaeger"'
      shows "$address" "/services/through-jaeger/operations" '"lets-go"'
      found=$(curl -s -H "authorization: Bearer $read_key" "http://127.0.0.1:$address/traces?service=through-jaeger&limit=200&tags=%7B%22error%22%3A%22true%22%7D" |
        { grep -o '"spanID":"[0-9a-f]*","\(flags\|operationName\)' || true; } | wc -l)
      [ "$found" = 100 ] || fail "Jaeger's API on port $address shows $found spans ($moment), want 100"
    done
    spanlake flush
    wait_for 100 "SELECT count(*) FROM span_metadata WHERE service_name = 'through-jaeger'" || fail "through-jaeger: not all spans are in the index"
  done
  kill -TERM "$query"
  wait "$query" || true
  query=
  echo "100 spans sent to a stock Jaeger, all shown by it and by Spanlake, unflushed and indexed"
fi

# ---- the end
spanlake verify || fail "spanlake verify"
kill -TERM "$server"
code=0
wait "$server" || code=$?
server=
[ "$code" = 0 ] || fail "spanlake serve ended with $code"
echo "all that was sent is there"
