# shellcheck shell=bash
# What ./quickstart, ./run-tests and .ci/run share: steps with elapsed time, installing what is
# missing, finding a Python, configuring and building. Sourced, never run; expects ROOT.

# ---- talking ------------------------------------------------------------------------------------

SETUP_STARTED=$SECONDS
SETUP_STEP=0
SETUP_STEPS=${SETUP_STEPS:-0}

elapsed() {
    local s=$((SECONDS - SETUP_STARTED))
    printf '%d:%02d' $((s / 60)) $((s % 60))
}

# step TEXT: a numbered heading with the time since the start.
step() {
    SETUP_STEP=$((SETUP_STEP + 1))
    printf '\n[%d/%d  %s] %s\n' "$SETUP_STEP" "$SETUP_STEPS" "$(elapsed)" "$*"
}

# die CODE TEXT: one line on stderr and the exit code.
die() {
    local code=$1
    shift
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit "$code"
}

# ---- long commands and Ctrl-C -------------------------------------------------------------------

SETUP_CHILD=
SETUP_SIGNAL=

# run_child COMMAND...: runs it in a process group of its own, so that a Ctrl-C, or a signal sent to
# this script alone, reaches it exactly once, and its end is waited for. Returns its exit code;
# SETUP_SIGNAL names the signal if there was one.
run_child() {
    local code=0
    SETUP_SIGNAL=
    trap 'forward_signal INT' INT
    trap 'forward_signal TERM' TERM
    set -m
    "$@" </dev/null &
    SETUP_CHILD=$!
    set +m
    # One that came before there was a child.
    if [ -n "$SETUP_SIGNAL" ]; then forward_signal "$SETUP_SIGNAL"; fi
    while :; do
        code=0
        wait "$SETUP_CHILD" || code=$?
        kill -0 "$SETUP_CHILD" 2>/dev/null || break
    done
    SETUP_CHILD=
    trap - INT TERM
    if [ -n "$SETUP_SIGNAL" ] && [ "$code" -eq 0 ]; then code=130; fi
    return "$code"
}

forward_signal() {
    SETUP_SIGNAL=$1
    if [ -n "$SETUP_CHILD" ]; then kill "-$1" -- "-$SETUP_CHILD" 2>/dev/null || true; fi
}

# ---- what is needed -----------------------------------------------------------------------------

CMAKE_MINIMUM=3.25
MISSING_PACKAGES=()
MISSING_TEXTS=()

missing() { # missing PACKAGE TEXT
    MISSING_PACKAGES+=("$1")
    MISSING_TEXTS+=("$2")
}

need_command() { # need_command COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing "$2" "command $1"
}

have_header() {
    local cxx=${CXX:-c++}
    command -v "${cxx%% *}" >/dev/null 2>&1 || cxx=g++
    command -v "${cxx%% *}" >/dev/null 2>&1 || return 1
    # shellcheck disable=SC2086  # CXX may carry flags
    printf '#include <%s>\n' "$1" | $cxx -std=c++20 -fsyntax-only -x c++ - >/dev/null 2>&1
}

# A header without its package's CMake files cannot be found by the build, so where there is dpkg
# it has the word.
need_library() { # need_library HEADER PACKAGE
    if command -v dpkg >/dev/null 2>&1; then
        have_package "$2" || have_header "$1" || missing "$2" "library header $1"
    else
        have_header "$1" || missing "$2" "library header $1"
    fi
}

have_package() {
    dpkg -s "$1" 2>/dev/null | grep -q '^Status: install ok installed'
}

cmake_is_recent() {
    local found
    found=$(cmake --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p')
    [ -n "$found" ] || return 1
    [ "$(printf '%s\n%s\n' "$CMAKE_MINIMUM" "$found" | sort -V | head -n 1)" = "$CMAKE_MINIMUM" ]
}

# What saves time, or builds one program more: nothing else depends on these.
OPTIONAL_PACKAGES=" ccache libbenchmark-dev python3-pytest-xdist "

only_optional_missing() {
    local package
    for package in "${MISSING_PACKAGES[@]}"; do
        [[ $OPTIONAL_PACKAGES == *" $package "* ]] || return 1
    done
}

# check_needs build|tests: fills MISSING_PACKAGES and MISSING_TEXTS.
check_needs() {
    MISSING_PACKAGES=()
    MISSING_TEXTS=()
    if ! command -v "${CXX:-c++}" >/dev/null 2>&1; then need_command g++ g++; fi
    cmake_is_recent || missing cmake "command cmake, $CMAKE_MINIMUM or later"
    need_command ninja ninja-build
    need_library CLI/CLI.hpp libcli11-dev
    need_library nlohmann/json.hpp nlohmann-json3-dev
    need_library toml++/toml.h libtomlplusplus-dev
    need_library fmt/core.h libfmt-dev
    need_library pcre2.h libpcre2-dev
    need_library hwloc.h libhwloc-dev
    local modules=(numpy pandas matplotlib) module
    if [ "$1" = tests ]; then
        need_library gtest/gtest.h libgtest-dev
        need_library benchmark/benchmark.h libbenchmark-dev
        modules+=(pytest)
    fi
    if ! "$ROOT/scripts/find-python" --no-venv "${modules[@]}" >/dev/null 2>&1; then
        need_command python3 python3
        for module in "${modules[@]}"; do
            /usr/bin/python3 -c "import $module" >/dev/null 2>&1 \
                || missing "python3-$module" "Python module $module"
        done
    fi
    # One saves most of a rebuild, one lets pytest use all cores; neither is worth installing alone.
    if command -v apt-get >/dev/null 2>&1 && [ ${#MISSING_PACKAGES[@]} -gt 0 ]; then
        need_command ccache ccache
        if [ "$1" = tests ] && ! have_package python3-pytest-xdist; then
            missing python3-pytest-xdist "Python module xdist"
        fi
    fi
}

say_what_is_missing() { # say_what_is_missing WHY
    {
        printf '%s: %s. Missing here:\n' "${0##*/}" "$1"
        printf '  %s\n' "${MISSING_TEXTS[@]}"
        printf 'On Debian 12 or Ubuntu 24.04, as root:\n'
        printf '  apt-get update && apt-get install -y --no-install-recommends %s\n' \
            "${MISSING_PACKAGES[*]}"
        printf 'On other systems, install the packages that have these, then run %s again.\n' "$0"
    } >&2
    exit 2
}

# as_root COMMAND...: directly, or through sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE...: one update, one install, without questions.
install_packages() {
    as_root apt-get update -qq \
        || die 2 "apt-get update failed; check the network and /etc/apt, then run this again"
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "$@" \
        || die 2 "apt-get could not install: $*"
}

# Without asking anybody for a password.
can_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

# ensure_needs build|tests [INSTALL=1]: installs what is missing, or says it and exits with 2.
ensure_needs() {
    check_needs "$1"
    if [ ${#MISSING_PACKAGES[@]} -eq 0 ]; then
        echo "everything needed is installed"
        return
    fi
    if only_optional_missing; then
        if [ "${2:-1}" != 1 ] || ! can_install || ! (install_packages "${MISSING_PACKAGES[@]}"); then
            echo "going on without ${MISSING_PACKAGES[*]}, which nothing else depends on"
        fi
        return
    fi
    [ "${2:-1}" = 1 ] || say_what_is_missing "told not to install"
    command -v apt-get >/dev/null 2>&1 || say_what_is_missing "there is no apt-get"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 \
            || say_what_is_missing "installing needs root, and there is no sudo"
        # Where nobody can answer a password question, sudo must not ask one.
        [ -t 0 ] || sudo -n true 2>/dev/null \
            || say_what_is_missing "installing needs root, and sudo wants a password"
    fi
    echo "installing: ${MISSING_PACKAGES[*]}"
    install_packages "${MISSING_PACKAGES[@]}"
    check_needs "$1"
    only_optional_missing || say_what_is_missing "the packages installed were not enough"
}

# ---- building -----------------------------------------------------------------------------------

# configure PRESET BUILD_DIR TESTS(ON|OFF|KEEP): KEEP leaves the tests of an earlier configure on.
configure() {
    local preset=$1 dir=$2 tests=$3 cache=$2/CMakeCache.txt options=()
    if [ -f "$cache" ]; then
        # A folder that was moved or copied has paths in its cache that are no longer true.
        grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$ROOT" "$cache" || options+=(--fresh)
        if [ "$tests" = KEEP ] && grep -q '^TRITBENCH_TESTS:BOOL=ON' "$cache" \
            && have_header gtest/gtest.h; then
            tests=ON
        fi
    fi
    [ "$tests" = KEEP ] && tests=OFF
    mkdir -p "$dir"
    local log=$dir/configure.log code=0
    run_child cmake --preset "$preset" -S "$ROOT" -B "$dir" "${options[@]}" \
        -DTRITBENCH_TESTS="$tests" "${CONFIGURE_OPTIONS[@]}" >"$log" 2>&1 || code=$?
    # Of interest only when it failed, or warned.
    if [ "$code" -ne 0 ]; then cat "$log" >&2; else grep -A5 'CMake Warning' "$log" >&2 || true; fi
    return "$code"
}
CONFIGURE_OPTIONS=()

# build BUILD_DIR [TARGET...]
build() {
    local dir=$1
    shift
    run_child cmake --build "$dir" --parallel "$(nproc 2>/dev/null || echo 2)" ${1:+--target "$@"}
}
