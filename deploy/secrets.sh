#!/usr/bin/env bash
# deploy/secrets.sh [STORE]: what compose mounts, made where it is not there yet, with nothing but OpenSSL 3.
#   secrets/signing.key   approves models; trusted.pem is its public half. Keep it elsewhere once the store is signed.
#   secrets/tls/          a server's certificate, and clients.pem, whose owner says who may connect
#   secrets/client.*      a client's certificate, to try it with
#   secrets/metrics/key   empty: Prometheus' key goes there, once the service has keys
# The certificates are of an authority made here, good for a trial: put your own in their place, under the same names.
# Then each artifact of the store that has no manifest.sig is signed: run it when you have looked at what is in there.
set -euo pipefail
shopt -s nullglob
cd "$(dirname "$0")/.."
store=${1:-${STORE:-model_store/pretrained}}
mkdir -p secrets/signing secrets/tls secrets/metrics
chmod 700 secrets  # what is in it is read through the mounts alone, by the containers' own users
[ -e secrets/metrics/key ] || : >secrets/metrics/key
config=$(mktemp)
trap 'rm -f "$config"' EXIT
printf '[req]\ndistinguished_name = name\n[name]\n' >"$config"

certificate() { # NAME SUBJECT DAYS FURTHER-OPTIONS...
    local said
    said=$(openssl req -x509 -new -config "$config" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc \
        -keyout "$1.key" -out "$1.pem" -subj "/CN=$2" -days "$3" "${@:4}" 2>&1) || { echo "$said" >&2; exit 1; }
}

if [ ! -e secrets/tls/server.pem ]; then
    certificate secrets/authority "Bonafide trial" 825 -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
        -addext keyUsage=critical,keyCertSign
    issued=(-CA secrets/authority.pem -CAkey secrets/authority.key -addext basicConstraints=critical,CA:FALSE)
    certificate secrets/client "trial client" 398 "${issued[@]}" -addext extendedKeyUsage=clientAuth
    cp secrets/authority.pem secrets/tls/clients.pem
    host=$(hostname)
    # The last one, which says that all are there. A common name has 64 characters at most, the other name is what counts.
    certificate secrets/tls/server "${host:0:64}" 398 "${issued[@]}" -addext extendedKeyUsage=serverAuth \
        -addext "subjectAltName=DNS:$host,DNS:localhost,IP:127.0.0.1"
    echo "made certificates for a trial, in secrets/"
fi
if [ ! -e secrets/signing/trusted.pem ]; then
    if [ ! -e secrets/signing.key ]; then
        (umask 077 && openssl genpkey -algorithm ed25519 -out secrets/signing.key)
        echo "made a key that approves models, secrets/signing.key"
    fi
    openssl pkey -in secrets/signing.key -pubout -out secrets/signing/trusted.pem
fi
for manifest in "$store"/*/*/manifest.json; do
    signature=${manifest%.json}.sig
    if [ ! -e "$signature" ]; then
        openssl pkeyutl -sign -rawin -inkey secrets/signing.key -in "$manifest" -out "$signature"
        echo "signed $manifest"
    fi
done
chmod 755 secrets/signing secrets/tls secrets/metrics
chmod 644 secrets/signing/* secrets/tls/* secrets/metrics/key
