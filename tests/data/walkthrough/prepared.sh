# Prepares what pages presuppose: a daemon with a stream, credentials and events. The folder has a
# certificate. REDIS_URL, PUBLIC and INTERNAL name a Redis and the ports of the listeners. TOKEN_FILE
# names the file whose token is in SSFD_TOKEN.
set -euo pipefail

issuer="https://localhost:$PUBLIC"
export SSFD_CONFIG=ssfd.toml CURL_CA_BUNDLE="$PWD/roots.pem" SSL_CERT_FILE="$PWD/roots.pem"

# A request that is refused is a failure of the page.
curl() { command curl --fail-with-body --max-time 30 "$@"; }

# The units of the page are one daemon, which is a job of this shell.
systemctl() {
    case "$*" in
        "stop ssfd") kill "$daemon" && wait "$daemon" ;;
        "start ssfd")
            ssfd serve 2>>daemon.log &
            daemon=$!
            until curl -sS "http://127.0.0.1:$INTERNAL/readyz" >/dev/null 2>&1; do
                kill -0 "$daemon"
                sleep 0.05
            done ;;
        *) return 1 ;;
    esac
}
trap 'kill $(jobs -p) 2>/dev/null || :' EXIT

cat >ssfd.toml <<TOML
[public]
listen = "127.0.0.1:$PUBLIC"
tls_certificate = "tls.pem"
tls_key = "tls.key"

[internal]
listen = "127.0.0.1:$INTERNAL"

[store]
backend = "sqlite"

[store.redis]
urls = ["$REDIS_URL"]

[ingest.redis]
url = "$REDIS_URL"

[push]
trusted_roots = "roots.pem"
allow_networks = ["127.0.0.0/8", "::1/128"]

[poll]
wait = "1s"

[providers.default]
issuer = "$issuer"
TOML
ssfd keys generate --algorithm ES256 --out keys/default.pem >/dev/null
systemctl start ssfd

export TOKEN SSFD_TOKEN ID SECRET STREAM
TOKEN=$(ssfd tokens create receiver --receiver acme --audience https://rx.example)
echo "$TOKEN" >receiver.token
ssfd tokens create publisher >publisher.token
ssfd tokens create operator >operator.token
SSFD_TOKEN=$(cat "$TOKEN_FILE")
spare_token=$(ssfd tokens create operator --name spare --json | sed 's/.*"id":"\([^"]*\)".*/\1/')
ssfd clients add --receiver acme --audience https://rx.example --json >client.json
ID=$(sed 's/.*"client_id":"\([^"]*\)".*/\1/' client.json)
SECRET=$(sed 's/.*"client_secret":"\([^"]*\)".*/\1/' client.json)

api() { curl -sS -H "Authorization: Bearer $TOKEN" "$@"; }
STREAM=$(api "$issuer/ssf/streams" -d '{"events_requested":
  ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"]}' |
    sed 's/.*"stream_id":"\([^"]*\)".*/\1/')

# The event has become a dead letter, so that no SET waits.
cat >events.ndjson <<'JSON'
{"id":"evt-8841","type":"caep:session-revoked","sub_id":{"format":"email","email":"kim@example.com"}}
JSON
ssfd publish events.ndjson --token-file publisher.token >/dev/null
poll="$issuer/ssf/poll/$STREAM"
dead=$(api "$poll" -d '{"returnImmediately":true}' | sed 's/{"sets":{"\([^"]*\)".*/\1/')
api "$poll" -d '{"maxEvents":0,"setErrs":{"'"$dead"'":{"err":"invalid_key"}}}' >/dev/null

cat >event.json <<'JSON'
{"type":"caep:session-revoked","sub_id":{"format":"email","email":"kim@example.com"}}
JSON

# The invented names of the pages stand for what was made above.
sed -i -e "s/st_4f0c/$STREAM/g" -e "s/237c3a5f688e5ab2813852be06101bca/$dead/g" \
    -e "s/96da73861d87/$spare_token/g" page.sh
