# What deploy/run and deploy/test share: the virtual environment and the distribution's packages.
# Sourced, never run. Expects `set -euo pipefail` and the project root as the working directory.
# Names no package index and no mirror: those are settings of the machine (pip.conf, apt sources).

VENV=.venv
PYTHON_MINIMUM="3.11"

heading() {
    printf '\n=== %s\n' "$*"
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Succeeds when distribution packages may be installed; sets `as_root` to the prefix for it.
may_install() {
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -eq 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        return 1
    fi
}

# install_packages PACKAGE...: installs them without letting their services start.
install_packages() {
    may_install || fail "these packages are missing and only root can install them: $*"
    printf 'installing %s\n' "$*"
    # Debian's switch against services that start on installation; an existing one stays.
    local policy=/usr/sbin/policy-rc.d made_policy=no status=0
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    # A subshell, so that the policy is removed on an interrupt as well.
    (
        trap '[ "$made_policy" = no ] || "${as_root[@]}" rm -f "$policy"' EXIT
        "${as_root[@]}" apt-get -q update &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
                -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
    ) >"$LOGS/apt.log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 30 "$LOGS/apt.log" >&2
        fail "apt-get could not install: $*"
    fi
}

# Prints the first interpreter that is new enough.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < (${PYTHON_MINIMUM/./, }))" \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python $PYTHON_MINIMUM or newer is needed (PYTHON=/path/to/python3 selects one)"
}

# What an environment that was made from this lock by this project looks like.
stamp_of() {
    "$VENV/bin/python" -V
    sha256sum "$1" pyproject.toml
    pwd
}

# make_environment LOCK: $VENV holds the packages of the lock and this project afterwards. Two
# scripts that start at once take turns.
make_environment() {
    (
        flock 9
        _make_environment "$1"
    ) 9>.cache/environment.lock
}

_make_environment() {
    local lock=$1 stamp python
    stamp="$VENV/$(basename "$lock").installed"
    if [ -x "$VENV/bin/python" ] && [ "$(stamp_of "$lock")" = "$(cat "$stamp" 2>/dev/null)" ]; then
        printf '%s matches %s\n' "$VENV" "$lock"
        return
    fi
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        "$python" -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
        printf 'making %s with %s\n' "$VENV" "$("$python" -V)"
        "$python" -m venv --clear "$VENV"
    fi
    printf 'installing from %s\n' "$lock"
    rm -f "$stamp"
    # -qq: errors only, a machine's pip settings may be chatty. The lock is complete, so nothing
    # is resolved (--no-deps), and `pip check` proves it.
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
        --require-hashes --no-deps --requirement "$lock"
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
        --no-deps --no-build-isolation --editable .
    "$VENV/bin/python" -m pip check
    stamp_of "$lock" >"$stamp"
}
