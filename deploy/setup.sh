#!/bin/sh
# Sets up what `make` needs: a virtual environment in .venv and, where this user may install them, system packages.
#   deploy/setup.sh hub      what a hub needs
#   deploy/setup.sh tests    the same, the checkers, and a browser for the page's tests
# PYTHON names another interpreter; TEST_EXTRAS other extras for the tests (default: llama,dev; CI adds forge, whose tests need torch).
# Says each step in one line; what the tools say goes to .venv/setup.log. A second run takes no time.
set -eu
cd "$(dirname "$0")/.."
log=.venv/setup.log

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

# ---- system packages

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}
may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}
install() { # package...: 1 where this user may not, or the packages cannot be had
    may_install || return 1
    say "Install $* (apt-get)."
    if [ -z "${lists_are_fresh:-}" ]; then
        as_root apt-get update -qq </dev/null >/dev/null 2>&1 || say "apt-get update failed; go on with the lists there are."
        lists_are_fresh=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null 2>&1
}

# ---- Python

suits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}
find_python() {
    # The system's own first: it is the one whose packages the distribution carries. Then the newest.
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if suits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}
need_python() {
    python=$(find_python) && return
    install python3 python3-venv && python=$(find_python) && return
    fail "Troupe needs Python 3.11, 3.12 or 3.13, and there is none. On Debian and Ubuntu: sudo apt-get install python3 python3-venv. Elsewhere name it: make PYTHON=/path/to/python3.12"
}
need_venv_module() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    package=python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    install "$package" && "$python" -c 'import ensurepip, venv' 2>/dev/null && return
    fail "$python has no venv module. On Debian and Ubuntu: sudo apt-get install $package"
}
need_environment() {
    suits .venv/bin/python && .venv/bin/python -c 'import pip' 2>/dev/null && return
    need_python
    need_venv_module
    say "Create .venv with $("$python" --version)."
    "$python" -m venv --clear .venv || fail "$python could not create .venv."
}

# ---- a compiler, for llama.cpp

need_compiler() {
    command -v cc >/dev/null && command -v c++ >/dev/null && return
    install build-essential && command -v c++ >/dev/null && return
    fail "There is no C and C++ compiler, which llama.cpp needs. On Debian and Ubuntu: sudo apt-get install build-essential. On Fedora: sudo dnf install gcc gcc-c++. On macOS: xcode-select --install"
}

# ---- Python packages

pip_install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off -c constraints.txt "$@" </dev/null >>"$log" 2>&1 && return
    tail -n 25 "$log" >&2
    fail "pip could not install $*: the end of $log is above. Once mended, run the same command again."
}
engine_there() { .venv/bin/python -c 'import llama_cpp' 2>/dev/null; }
engine_build() { .venv/bin/python -m cli.engine_build "$@" </dev/null; } # which it is to be: cli/engine_build.py
need_engine() {
    engine_build fits && return
    need_compiler
    engine_build install --log "$log" && return
    tail -n 25 "$log" >&2
    fail "llama.cpp could not be compiled: the end of $log is above. Once mended, run the same command again."
}
install_packages() { # name of the stamp, extras
    stamp=.venv/.setup-$1
    # What the engine is compiled for belongs to it: a card that has come since is noticed.
    now=$(printf '%s, %s, ' "$2" "$(engine_build flavour)"; cat pyproject.toml constraints.txt | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && engine_there; then
        return
    fi
    say "Install Troupe with $2 and the versions in constraints.txt."
    need_engine
    pip_install --editable ".[$2]"
    printf '%s\n' "$now" >"$stamp"
}

# ---- a browser, for the tests of the chat page

browser_there() {
    for name in ${TROUPE_CHROMIUM:-} chromium chromium-browser; do
        # Ubuntu's chromium-browser is a script that asks for a snap.
        if path=$(command -v $name) && "$path" --version >/dev/null 2>&1; then
            return
        fi
    done
    return 1
}
want_browser() {
    browser_there && return
    install chromium && browser_there && return
    say "No Chromium: the tests of the chat page are skipped. On Debian: sudo apt-get install chromium. On Ubuntu: sudo snap install chromium"
}

link_node() { # Playwright brings a Node, which also runs the tests of the page's modules
    node=$(.venv/bin/python -c 'import pathlib, playwright; print(pathlib.Path(playwright.__file__).parent / "driver" / "node")' 2>/dev/null) || return 0
    if [ -x "$node" ]; then
        ln -sf "$node" .venv/bin/node
    fi
}

# ---- Docker's compose client, which checks docker-compose.yml without an engine

want_compose() {
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null && return
    install docker-compose && return
    say "No compose client: docker-compose.yml is not checked. On Debian: sudo apt-get install docker-compose"
}

case ${1:-} in
hub)
    need_environment
    install_packages hub llama
    ;;
tests)
    need_environment
    install_packages tests "${TEST_EXTRAS:-llama,dev}"
    link_node
    want_browser
    want_compose
    ;;
*)
    fail "usage: deploy/setup.sh hub|tests"
    ;;
esac
