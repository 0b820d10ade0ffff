#!/bin/sh
# Puts the sensor where the Debian package has it, on systems with systemd and another package
# manager. `install.sh --remove` takes it away again, `--purge` with all that it left.
set -e

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=${DESTDIR:-}
has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

remove() {
	if has_systemd; then
		systemctl disable --now sensor.service || true
	fi
	(cd "$here/root" && find . -type f ! -path './etc/*') | while read -r file; do
		rm -f "$root/${file#./}"
	done
	if has_systemd; then
		systemctl daemon-reload
	fi
}

case "${1:-}" in
"")
	[ "$(id -u)" = 0 ] || { echo "install.sh: this needs root" >&2; exit 1; }
	(cd "$here/root" && find . -type f) | while read -r file; do
		file=${file#./}
		case "$file" in
		etc/*) [ -e "$root/$file" ] && { echo "install.sh: keeps /$file as it is"; continue; } ;;
		esac
		mkdir -p "$root/$(dirname "$file")"
		# Beside it first: whoever runs the old one keeps it.
		cp -p "$here/root/$file" "$root/$file.new"
		mv "$root/$file.new" "$root/$file"
	done
	if [ -z "$root" ]; then
		timeout 120 /usr/bin/sensor doctor || true
	fi
	if has_systemd; then
		systemctl daemon-reload
		systemctl enable sensor.service
		systemctl restart sensor.service
	fi
	;;
--remove)
	remove
	;;
--purge)
	remove
	if [ -z "$root" ]; then
		"$here/purge" purge
	fi
	;;
*)
	echo "usage: install.sh [--remove | --purge]" >&2
	exit 2
	;;
esac
