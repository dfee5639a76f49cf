#!/usr/bin/env bash
# tls.sh - TLS as a person sets it up: certificates, wrong files, new ones while it runs.
#
# SPDX-License-Identifier: MIT
# shellcheck source=tests/e2e/lib.bash
source "$(dirname "${BASH_SOURCE[0]}")/lib.bash"

# certificate NAME: NAME.pem and NAME.key, for localhost and 127.0.0.1, signed by itself.
certificate()
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 \
        -subj "/CN=$1" -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -keyout "$work/$1.key" -out "$work/$1.pem" >"$work/openssl" 2>&1
}

# install NAME: becomes the one that the server is told of; each file is whole at any moment.
install_certificate()
{
    local each
    for each in pem key; do
        cp "$work/$1.$each" "$work/new"
        mv "$work/new" "$work/live.$each"
    done
}

# starts NAME OPTIONS...: a server with TLS beside its plain listener; sets $secure.
starts()
{
    serve "$@" --set tls.listen=127.0.0.1:0 --set "tls.certificate=$work/live.pem" \
        --set "tls.key=$work/live.key" || return 1
    secure=$(address "$1" 'https://')
    [[ -n $secure ]]
}

# trusts NAME: a new connection is served with NAME's certificate.
trusts()
{
    curl -s --max-time 5 --cacert "$work/$1.pem" -o "$work/out" "$secure/healthz"
}

# corpus WHERE...: runs http_corpus.py and takes its cases over.
corpus()
{
    local name=$1 line
    shift
    python3 "$root/tests/e2e/http_corpus.py" "$@" >"$work/corpus" 2>"$work/err"
    check "$name: the corpus was run" grep -q '^1\.\.10[0-9]' "$work/corpus"
    while IFS= read -r line; do
        case "$line" in
        'ok '*) check "$name: ${line#ok * - }" true ;;
        'not ok '*) check "$name: ${line#not ok * - }" false ;;
        '# '*) printf '%s\n' "$line" ;;
        esac
    done <"$work/corpus"
}

one_sentence()
{
    exits 1 "$1" && grep -q '^personakit: ' "$work/err" && grep -q '^  ' "$work/err" &&
        [[ ! -s $work/out ]]
}

# refuses CERTIFICATE KEY: starts a server with these, which ends.
refuses()
{
    run serve --data "$work/refused" --listen 127.0.0.1:0 --set tls.listen=127.0.0.1:0 \
        --set "tls.certificate=$1" --set "tls.key=$2"
}

for name in first second third; do
    certificate "$name" || { cat "$work/openssl"; exit 1; }
done
install_certificate first

# ---- A good life ----

socket=$work/http.sock
check 'a server with TLS starts' starts one --listen "127.0.0.1:0,unix:$socket" --data "$work/one"
key=$(cat "$work/one/admin.key")
check 'curl trusts it by its certificate' trusts first
check 'and by no other' bash -c "! curl -s --max-time 5 --cacert '$work/second.pem' '$secure/healthz'"
status=0
curl -s --max-time 5 --tls-max 1.1 --cacert "$work/first.pem" "$secure/healthz" >/dev/null || status=$?
check 'TLS 1.1 is not spoken' test "$status" -ne 0
plain=$url url=$secure
ask /v1/actors/self --cacert "$work/first.pem"
check 'a key opens it over TLS' test "$code" = 200
ask /v1/actors --cacert "$work/first.pem" -d '{"actorType":"human","name":"by TLS"}' \
    -H 'Content-Type: application/json'
check 'and a body comes through' test "$code" = 201
url=http://localhost
ask /v1/actors/self --unix-socket "$socket"
check 'the Unix socket serves, too' test "$code" = 200
check 'plain HTTP on the TLS listener is closed, not answered' \
    bash -c "! curl -s --max-time 5 'http${secure#https}/healthz' | grep -q alive"
port=${secure##*:}
corpus tls 127.0.0.1 "$port" "$work/first.pem"
corpus unix "unix:$socket"
check 'and it still serves' trusts first

# ---- New certificates ----

curl -s --max-time 60 -N --cacert "$work/first.pem" -H "Authorization: Bearer $key" \
    "$secure/v1/events" >"$work/stream" 2>&1 &
follower=$!
pids+=("$follower")
check 'a stream is open' within 5 grep -q start "$work/stream"
install_certificate second
mark one
kill -HUP "$pid"
check 'SIGHUP brings the new certificate to new connections' within 5 trusts second
check 'the log says so' soon 'certificate read anew'
check 'who trusts only the old one is out' bash -c "! curl -s --max-time 5 --cacert '$work/first.pem' '$secure/healthz'"
check 'a connection that was open goes on' kill -0 "$follower"

cp "$work/first.key" "$work/live.key"
mark one
kill -HUP "$pid"
check 'a key that does not fit is not taken' soon 'certificate not read: the old one stays'
check 'the old certificate serves on' trusts second
echo nonsense >"$work/live.pem"
mark one
kill -HUP "$pid"
check 'nor is a file that is no certificate' soon 'certificate not read: the old one stays'
check 'the log names the file' logged 'live.pem'
check 'the old certificate serves on, again' trusts second
rm "$work/live.pem"
mark one
kill -HUP "$pid"
check 'nor is one that is missing' soon 'certificate not read: the old one stays'
install_certificate third
kill -HUP "$pid"
check 'files that are whole again are taken' within 5 trusts third
url=$plain
get /readyz -H "Authorization: Bearer $key"
check '/readyz says when the certificate expires' grep -q '"detail":"expires 20' "$work/out"
kill -TERM "$pid"
check 'the server leaves' ended 0
wait "$follower"
check 'and tells the stream' grep -q stopping "$work/stream"
check 'the Unix socket is gone' test ! -e "$socket"

# ---- Failures at the start ----

refuses "$work/nothing.pem" "$work/first.key"
check 'a certificate that is not there' one_sentence "$work/nothing.pem"
refuses "$work/first.pem" "$work/nothing.key"
check 'a key that is not there' one_sentence "$work/nothing.key"
refuses "$work/first.pem" "$work/second.key"
check 'a key that does not fit' one_sentence "$work/second.key"
refuses "$work/first.key" "$work/first.key"
check 'a certificate file without a certificate' one_sentence "$work/first.key"
echo 'no key' >"$work/text.key"
refuses "$work/first.pem" "$work/text.key"
check 'a key file without a key' one_sentence "$work/text.key"
openssl pkcs8 -topk8 -in "$work/first.key" -passout pass:secret -out "$work/locked.key" \
    >"$work/openssl" 2>&1
refuses "$work/first.pem" "$work/locked.key"
check 'a key with a password, without asking for it' one_sentence "$work/locked.key"
refuses '' ''
check 'TLS without a certificate' one_sentence tls.certificate
plan
