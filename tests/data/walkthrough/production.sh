# Stands for the machine of docs/operate/production.md: a folder is its root, and the functions below take
# the place of the programs that only root may run. INTERNAL is the port of the internal listener.
set -euo pipefail

root=$PWD
export SSFD_INTERNAL__LISTEN="127.0.0.1:$INTERNAL"
export CURL_CA_BUNDLE="$root/roots.pem" SSL_CERT_FILE="$root/roots.pem"
mkdir -p etc/systemd/system etc/nginx/sites-available etc/nginx/sites-enabled usr/bin var/lib/ssfd var/backups

curl() { command curl --fail-with-body --max-time 30 "$@"; }

# The test's machine has nginx already.
apt-get() { :; }

cat >nginx.conf <<NGINX
pid $root/nginx.pid;
events {}
http {
    access_log off;
    client_body_temp_path $root/nginx-body;
    proxy_temp_path $root/nginx-proxy;
    fastcgi_temp_path $root/nginx-fastcgi;
    uwsgi_temp_path $root/nginx-uwsgi;
    scgi_temp_path $root/nginx-scgi;
    include $root/etc/nginx/sites-enabled/*;
}
NGINX
nginx() { command nginx -e "$root/nginx.log" -p "$root" -c "$root/nginx.conf" "$@"; }

# Starts the daemon as the unit and its drop-in say: the command line, the credentials, the working
# directory and the notification.
start() {
    local credentials=$root/run/credentials/ssfd.service name file
    sed -n 's/^LoadCredential=//p' etc/systemd/system/ssfd.service.d/*.conf | while IFS=: read -r name file; do
        install -D -m 0400 "$file" "$credentials/$name"
    done
    local command
    command=$(sed -n 's/^ExecStart=//p' etc/systemd/system/ssfd.service)
    (
        cd var/lib/ssfd
        umask 0077
        # shellcheck disable=SC2086 # the unit has words
        exec env -i "SSFD_INTERNAL__LISTEN=$SSFD_INTERNAL__LISTEN" SSFD_PROCESS__LAME_DUCK=0s \
            "CREDENTIALS_DIRECTORY=$credentials" "NOTIFY_SOCKET=$root/notify" $command
    ) 2>>daemon.log &
    daemon=$!
    until curl -sS "http://127.0.0.1:$INTERNAL/readyz" >/dev/null 2>&1; do
        kill -0 "$daemon"
        sleep 0.05
    done
}

systemctl() {
    case "$*" in
        daemon-reload) ;;
        "enable --now ssfd" | "start ssfd") start ;;
        "stop ssfd") kill "$daemon" && wait "$daemon" ;;
        "reload nginx") nginx ;;
        *) return 1 ;;
    esac
}
trap 'kill $(jobs -p) $(cat nginx.pid 2>/dev/null) 2>/dev/null || :' EXIT
