# Sourced by scripts that install Debian packages.

# as_root COMMAND... runs a command as root.
as_root() {
	if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE... installs quietly; it shows what apt-get said only
# when that failed.
install_packages() {
	local log
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { echo "please install as root: apt-get install $*" >&2; return 1; }
	fi
	command -v apt-get >/dev/null || { echo "please install: $*" >&2; return 1; }
	echo "installing $*" >&2
	log=$(mktemp)
	if ! { as_root apt-get -qq -o DPkg::Lock::Timeout=120 update &&
		as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
			install --no-install-recommends "$@"; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}
