# What scripts/run, scripts/test, scripts/check and scripts/base-images need of the machine. Sourced, not run.
#
# Each need_* function installs or starts what is missing and is silent and quick when nothing is. Made for Debian 12
# and 13 with root, git and python3 and nothing else; a machine that already has an engine or the packages keeps its own.
#
#   STACKYN_VENV      the virtual environment (default: .venv of the project)
#   STACKYN_STATE     logs and locks of these scripts (default: /var/lib/stackyn-setup, else below ~/.cache)
#   PYTHON            the interpreter the virtual environment is made from (default: python3; 3.11 to 3.13)

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${STACKYN_VENV:-$PROJECT/.venv}
PYTHON=${PYTHON:-python3}
if [[ $EUID == 0 ]]; then STATE=/var/lib/stackyn-setup; else STATE=${XDG_CACHE_HOME:-$HOME/.cache}/stackyn-setup; fi
STATE=${STACKYN_STATE:-$STATE}
ENGINE_START_SECONDS=120

mkdir -p "$STATE"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "$*"; }
fail() { printf '\n%s\n' "$*" >&2; exit 1; }
seconds_since() { awk -v start="$1" -v now="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", now - start }'; }

# attempt TITLE COMMAND...: run it and show title and duration. Its output is in $STEP_LOG when it fails.
attempt() {
  local title=$1 started=$EPOCHREALTIME; shift
  STEP_LOG=$(mktemp "$STATE/step.XXXXXX")
  printf '  %-72s' "$title"
  if ("$@") >"$STEP_LOG" 2>&1 </dev/null; then
    printf '%9s\n' "$(seconds_since "$started")"
    rm -f "$STEP_LOG"
  else
    printf '%9s\n' failed
    return 1
  fi
}

# step TITLE COMMAND...: an attempt that must succeed.
step() {
  attempt "$@" && return
  tail -n 40 "$STEP_LOG" >&2
  fail "This step failed: $1. The last lines of its output are above; all of it is in $STEP_LOG."
}

# One preparation at a time: two of these scripts at once would install into the same places.
one_at_a_time() {
  [[ -z ${STACKYN_PREPARING:-} ]] || return 0
  export STACKYN_PREPARING=1
  exec 9>"$STATE/lock"
  flock --nonblock 9 && return
  say "Another run of these scripts is preparing this machine; waiting for it."
  flock 9
}
others_may_go_on() { unset STACKYN_PREPARING; exec 9>&-; }

# engine_answers: asked over its socket, because not every Debian installs the `docker` program with the engine.
engine_answers() {
  timeout 10 "$PYTHON" - "${DOCKER_HOST:-unix:///var/run/docker.sock}" 2>/dev/null <<'PYTHON'
import socket, sys
kind, _, path = sys.argv[1].partition("://")
engine = socket.socket(socket.AF_UNIX)
engine.connect(path if kind == "unix" else "")
engine.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
sys.exit(b" 200 " not in engine.makefile("rb").readline())
PYTHON
}

# engine_of_docker_host: a socket that DOCKER_HOST names is the server's too, unless its own setting names one.
engine_of_docker_host() {
  [[ ${DOCKER_HOST:-} != unix://* ]] || export STACKYN_ENGINE__SOCKET=${STACKYN_ENGINE__SOCKET:-${DOCKER_HOST#unix://}}
}

# need_packages [PACKAGE:COMMAND...]: Debian packages, each wanted only when its command is missing.
need_packages() {
  local wanted=() entry
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || wanted+=(python3-venv)
  for entry in git:git ca-certificates:update-ca-certificates "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${entry#*:}" >/dev/null || wanted+=("${entry%%:*}")
  done
  if ! engine_answers && ! PATH=$PATH:/usr/sbin:/sbin command -v dockerd >/dev/null; then
    # apparmor: where the kernel enforces it, the engine starts no container without its parser.
    wanted+=(docker.io iptables apparmor)
  fi
  if ((${#wanted[@]} == 0)); then return; fi
  [[ $EUID == 0 ]] || fail "This machine lacks ${wanted[*]}. Run this script once as root, or: sudo apt-get install ${wanted[*]}"
  command -v apt-get >/dev/null || fail "This machine lacks ${wanted[*]}, and has no apt-get to install them with. Install them and run this script again."
  # Lists of the last hour will do: base-images may come for its own packages right after.
  [[ -n $(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -mmin -60 2>/dev/null | head -n 1) ]] || step "Debian's package lists" apt-get -qq -o DPkg::Lock::Timeout=300 update
  step "Debian packages: ${wanted[*]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install --no-install-recommends --yes "${wanted[@]}"
}

# need_environment runtime|tests: the virtual environment, holding exactly what requirements.lock says.
# Its stamps name what each part was made from; another lock, interpreter or place makes all of it anew.
need_environment() {
  local lock=$PROJECT/requirements.lock
  local origin
  origin="$PROJECT $("$PYTHON" --version) $(sed '/^# ---- below/,$d' "$lock" | sha256sum)"
  stamped runtime "$origin" || new_environment "$origin"
  local package; package=$(sha256sum <"$PROJECT/pyproject.toml")
  if ! stamped package "$package"; then
    step "Stackyn itself" "$VENV/bin/pip" install --quiet --no-deps --no-build-isolation --editable "$PROJECT"
    echo "$package" >"$VENV/stackyn-package"
  fi
  [[ $1 == tests ]] || return 0
  local tests; tests=$(sha256sum <"$lock")
  if ! stamped tests "$tests"; then
    step "Packages of requirements.lock, to test" "$VENV/bin/pip" install --quiet --no-compile --require-hashes --no-deps \
      --no-build-isolation --use-pep517 --requirement "$lock"
    echo "$tests" >"$VENV/stackyn-tests"
  fi
}
stamped() { [[ $(cat "$VENV/stackyn-$1" 2>/dev/null) == "$2" ]]; }

new_environment() {
  "$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' ||
    fail "Stackyn needs Python 3.11, 3.12 or 3.13; $PYTHON is $("$PYTHON" --version). Name another one: PYTHON=python3.12 $0"
  step "Python environment in ${VENV/#$PROJECT\//}" "$PYTHON" -m venv --clear "$VENV"
  sed '/^# ---- below/,$d' "$PROJECT/requirements.lock" >"$VENV/runtime.lock"
  step "Packages of requirements.lock, to run" "$VENV/bin/pip" install --quiet --no-compile --require-hashes --no-deps --requirement "$VENV/runtime.lock"
  echo "$1" >"$VENV/stackyn-runtime"
}

pgrep_dockerd() { grep -qsx dockerd /proc/[0-9]*/comm; }

start_engine() {
  local log=$STATE/dockerd.log pidfile=/var/run/docker.pid holder started=$SECONDS daemon=""
  if [[ -d /run/systemd/system ]]; then
    systemctl enable --now docker.service || return 1
  elif ! pgrep_dockerd; then
    # After a hard stop the file stays, and its number may belong to another process by now: dockerd would refuse to start.
    holder=$(cat "$pidfile" 2>/dev/null || true)
    [[ -z $holder ]] || rm -f "$pidfile"
    PATH=$PATH:/usr/sbin:/sbin setsid dockerd >>"$log" 2>&1 </dev/null 9>&- &
    daemon=$!
  fi
  until engine_answers; do
    if [[ -n $daemon ]] && ! kill -0 "$daemon" 2>/dev/null; then tail -n 20 "$log"; echo "The engine ended while it started."; return 1; fi
    if ((SECONDS - started > ENGINE_START_SECONDS)); then tail -n 20 "$log"; echo "The engine does not answer after $ENGINE_START_SECONDS s."; return 1; fi
    sleep 0.2
  done
}

# need_engine: a Docker engine that answers. One that runs is never stopped or restarted.
need_engine() {
  engine_answers && return
  [[ -z ${DOCKER_HOST:-} ]] || fail "No Docker engine answers at $DOCKER_HOST (DOCKER_HOST). Start it, or unset DOCKER_HOST to use this machine's own."
  if pgrep_dockerd && [[ $EUID != 0 ]]; then
    fail "A Docker engine runs here, but does not answer to $(id -un). Run this script as root, or add the user to the group docker and log in again."
  fi
  [[ $EUID == 0 ]] || fail "No Docker engine runs here. Run this script once as root, or start it: sudo systemctl start docker"
  step "Docker engine $([[ -d /run/systemd/system ]] && echo "as a service" || echo "on its own, log in $STATE/dockerd.log")" start_engine
}
