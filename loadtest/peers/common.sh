# What the scripts of this folder share. They source it after they have set `directory`, the place of one server:
#
#   directory/processes   a line for each process that was started: its id, and when it began in the kernel's ticks
#   directory/commands    how each was started, for `restart`; a line that a shell can read
#   directory/checks      what is to succeed before the server is ready, likewise
#   directory/facts       what `start` prints but the ids, as words name=value
#   directory/*.log       what the processes have to say
# shellcheck shell=bash

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# Installs Debian's packages without starting the services in them, now or at the next boot.
install_packages() {
    has apt-get || fail "please install: $*"
    [[ $(id -u) == 0 ]] || fail "please install as root, and disable the services: apt-get install $*"
    local policy=/usr/sbin/policy-rc.d made=
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=yes
    fi
    local outcome=0
    apt-get -qq update >&2 || true
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >&2 || outcome=$?
    [[ -z $made ]] || rm "$policy"
    [[ $outcome == 0 ]] || fail "$* can't be installed"
    if has systemctl; then
        systemctl --quiet disable "$@" 2>/dev/null || true
    fi
}

# So many ports that nobody listens at, below those that the system gives to connections by itself.
free_ports() {
    local port ports=()
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 12000))
        [[ " ${ports[*]} " == *" $port "* ]] && continue
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || ports+=("$port")
        if [[ ${#ports[@]} == "$1" ]]; then
            echo "${ports[*]}"
            return
        fi
    done
    fail "found no free ports"
}

# Makes the directory; a server that runs in it already is left alone.
begin() {
    [[ ! -e $directory/processes ]] || fail "something was started in $directory already"
    mkdir -p "$directory"
    # The database runs as another user.
    chmod 755 "$directory"
    directory=$(cd "$directory" && pwd)
    : >"$directory/processes"
    rm -f "$directory"/{commands,checks,facts}
    trap undo EXIT
}

undo() {
    stop
    echo "$(basename "$0"): it did not start; there may be logs in $directory" >&2
}

# launch NAME COMMAND…: starts a process of its own, not of this terminal.
launch() {
    local name=$1
    echo "${*@Q}" >>"$directory/commands"
    shift
    (
        cd "$directory"
        ulimit -n "$(ulimit -Hn)"
        exec setsid "$@" </dev/null >>"$name.log" 2>&1
    ) &
    echo "$! $(began_at "$!")" >>"$directory/processes"
}

# When a process began. Nothing: it is gone.
began_at() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    # Behind the name in parentheses, which may hold spaces, field 22 is the 20th.
    read -ra stat <<<"${stat##*) }"
    echo "${stat[19]}"
}

# Whether the process that was started still runs, and not another one with its id.
runs() {
    [[ -n $2 && $(began_at "$1") == "$2" ]]
}

# Fails when a process has ended meanwhile.
check_processes() {
    local id began
    while read -r id began; do
        runs "$id" "$began" || return 1
    done <"$directory/processes"
}

# await COMMAND…: until it succeeds, half a minute at most, and no longer than the processes run.
await() {
    for _ in {1..150}; do
        if "$@" 2>/dev/null; then
            return
        fi
        check_processes || return 1
        sleep 0.2
    done
    return 1
}

# ready_when COMMAND…: waits for it, now and after each restart.
ready_when() {
    echo "${*@Q}" >>"$directory/checks"
    await "$@"
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1")
}

# Whether GET http://127.0.0.1:$1$2 is answered with 200.
answers() {
    local status
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
    read -r -t 5 _ status _ <&3 || true
    exec 3>&-
    [[ ${status:-} == 200 ]]
}

# clients.pem and clients.key: self-signed, for localhost, on the curve that the servers are compared with.
make_certificate() {
    has openssl || install_packages openssl
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$directory/clients.key" -out "$directory/clients.pem" 2>/dev/null
}

# A PostgreSQL server for this directory alone, as durable as in production, the same for every server that has one; sets `postgres` to
# its URL, and `database` to what it says of itself.
start_postgres() {
    has psql && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || install_packages postgresql postgresql-client
    postgres=$(VESTA_POSTGRES_DIR=$directory/postgres VESTA_POSTGRES_FSYNC=on "$root/tests/postgres" start)
    database=$(psql --no-psqlrc --quiet --tuples-only --no-align -d "$postgres" -c "
        SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1) || ' with '
            || string_agg(name || ' ' || setting, ', ' ORDER BY name)
        FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')")
}

# fill FILE: a file of this folder with its @name@ replaced by the variables of these names.
fill() {
    local text name
    text=$(<"$here/$1")
    while [[ $text =~ @([a-z_]+)@ ]]; do
        name=${BASH_REMATCH[1]}
        text=${text//"@$name@"/"${!name}"}
    done
    printf '%s\n' "$text"
}

# The ids of what was started, and of the database: `vesta-loadtest --pid` takes their children into account.
process_ids() {
    local ids database=$directory/postgres/data/postmaster.pid
    mapfile -t ids < <(cut -d ' ' -f 1 "$directory/processes")
    if [[ -f $database ]]; then
        ids+=("$(head -n 1 "$database")")
    fi
    (IFS=, && echo "${ids[*]}")
}

# What was started, in a line that a shell can read.
describe() {
    [[ -f $directory/facts ]] || fail "nothing was started in $directory"
    echo "pids=$(process_ids) $(<"$directory/facts")"
}

# Ends the processes and starts them again with the same data, so that nothing is left in their memory. The database stays.
restart() {
    [[ -f $directory/facts ]] || fail "nothing was started in $directory"
    local commands command
    end_processes
    mapfile -t commands <"$directory/commands"
    rm "$directory/commands"
    : >"$directory/processes"
    for command in "${commands[@]}"; do
        eval "launch $command"
    done
    while read -r command; do
        eval "await $command"
    done <"$directory/checks"
}

stop() {
    [[ -f $directory/processes ]] || return 0
    end_processes
    if [[ -d $directory/postgres ]]; then
        VESTA_POSTGRES_DIR=$directory/postgres "$root/tests/postgres" stop
    fi
    rm -f "$directory"/{processes,commands,checks,facts}
}

# Asks all processes to end, and makes them after half a minute.
end_processes() {
    local id began
    while read -r id began; do
        if runs "$id" "$began"; then
            kill "$id" || true
        fi
    done <"$directory/processes"
    while read -r id began; do
        for _ in {1..150}; do
            runs "$id" "$began" || continue 2
            sleep 0.2
        done
        kill -KILL "$id" || true
    done <"$directory/processes"
}

# main ACTION DIR OPTION…: what all scripts do with their arguments.
main() {
    [[ $# -ge 2 ]] || fail "say start, restart, describe or stop, and a directory"
    local action=$1
    directory=$2
    shift 2
    if [[ -d $directory ]]; then
        directory=$(cd "$directory" && pwd)
    fi
    case $action in
    start)
        begin
        start "$@"
        trap - EXIT
        describe
        ;;
    restart) restart && describe ;;
    describe | stop) "$action" ;;
    *) fail "say start, restart, describe or stop" ;;
    esac
}
