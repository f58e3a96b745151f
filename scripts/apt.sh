# Sourced by scripts that install Debian packages.

# install_packages PACKAGE... installs quietly; it shows what apt-get said only
# when that failed.
install_packages() {
	local root=() log
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { echo "please install as root: apt-get install $*" >&2; return 1; }
		root=(sudo)
	fi
	command -v apt-get >/dev/null || { echo "please install: $*" >&2; return 1; }
	echo "installing $*" >&2
	log=$(mktemp)
	if ! { "${root[@]}" apt-get -qq -o DPkg::Lock::Timeout=120 update &&
		"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120 \
			install --no-install-recommends "$@"; } >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}
