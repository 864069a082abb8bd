#!/usr/bin/env bash
# How fast xfer is beside other tools, and beside another xfer: prints the table of README.md for
# this machine, sender and receiver both on it.
# Must not touch anything but a temporary folder, which it removes: no settings, keys or servers
# of the user's. What is missing here is left out, and named.

set -euo pipefail
export LC_ALL=C
umask 077
# Where sshd is, which an ordinary user may not have in the path.
PATH=$PATH:/usr/sbin:/sbin

usage() {
    cat <<'END'
Usage: benches/compare.sh [OPTION]...

Measures one large file, many small ones, and the same small ones again,
unchanged, with xfer, rsync (over ssh, and its daemon), scp and nc: all of them
in turn in each round. Progress goes to stderr, the table to stdout.

Options:
  --quick          256 MiB and 5,000 files instead of 2 GiB and 50,000
  --rounds N       how many rounds the medians are of [default: 5]
  --xfer PATH      the program [default: target/release/xfer]
  --against PATH   another xfer, such as that of before a change
  --dir DIR        where to make a temporary folder; /dev/shm takes the disk
                   out of it [default: $TMPDIR, or /tmp]
  --help           this

Build xfer first: cargo build --release
END
}

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "compare.sh: $*"
    exit 1
}
wrong() {
    say "compare.sh: $*"
    say "compare.sh --help says what there is."
    exit 2
}
left_out() { say "Left out: $*"; }
has() { command -v "$1" >/dev/null; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
command=benches/compare.sh
[ $# -eq 0 ] || command+=$(printf ' %q' "$@")
rounds=5
xfer=${CARGO_TARGET_DIR:-$root/target}/release/xfer
other=
dir=${TMPDIR:-/tmp}
large_mib=2048
small_folders=100
small_files=500 # in each folder
small_bytes=4060
large_title="one file of 2 GiB"
small_title="50,000 files, 203 MB"

while [ $# -gt 0 ]; do
    case $1 in
        --quick)
            large_mib=256
            small_folders=10
            large_title="one file of 256 MiB"
            small_title="5,000 files, 20 MB"
            ;;
        --rounds | --xfer | --against | --dir)
            [ $# -gt 1 ] || wrong "$1 needs a value"
            case $1 in
                --rounds) rounds=$2 ;;
                --xfer) xfer=$2 ;;
                --against) other=$2 ;;
                --dir) dir=$2 ;;
            esac
            shift
            ;;
        --help | -h)
            usage
            exit
            ;;
        *) wrong "unknown: $1" ;;
    esac
    shift
done
case $rounds in
    '' | 0* | *[!0-9]*) wrong "--rounds needs a number, 1 at least" ;;
esac
for program in "$xfer" ${other:+"$other"}; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then
        fail "there is no program $program; cargo build --release makes target/release/xfer"
    fi
done
[ -d "$dir" ] || fail "there is no folder $dir"

# The source, and one copy at a time.
needs_kib=$((2 * (large_mib * 1024 + small_folders * small_files * 8)))
free_kib=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
[ "$free_kib" -gt "$needs_kib" ] ||
    fail "$dir has $((free_kib / 1024)) MiB free, and $((needs_kib / 1024)) are needed"

scratch=
clean_up() {
    set +e
    local pids
    pids=$(jobs -rp)
    # shellcheck disable=SC2086  # They are numbers.
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
    wait 2>/dev/null
    # What a server still had under way may make something as it is removed.
    [ -z "$scratch" ] || rm -rf "$scratch" 2>/dev/null || rm -rf "$scratch"
    [ -z "$made_privsep" ] || rmdir "$made_privsep" 2>/dev/null
}
made_privsep=
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
scratch=$(mktemp -d "${dir%/}/xfer-compare.XXXXXX")
scratch=$(cd "$scratch" && pwd)
mkdir "$scratch/from" "$scratch/to" "$scratch/log" "$scratch/times"

# Nothing that the user has set counts.
for variable in ${!XFER_@} ${!XDG_@} ${!RSYNC_@}; do unset "$variable"; done
export HOME=$scratch

# A port that nobody listens on at this moment, in $port.
free_port() {
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    done
}

# Waits until something holds, for some seconds at most, while the server that was started last
# runs.
wait_until() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        ! "$@" || return 0
        kill -0 $! 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}
listens() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

# The last words of a tool.
last_words() { tail -n 1 "$scratch/log/$1" 2>/dev/null || true; }

# Each tool has a function that starts what it needs and fails where it cannot, and one that
# sends a path to its folder in $scratch/to.

# Starts a receiver of an xfer; leaves its address in $address.
start_receiver() {
    local log=$scratch/log/recv-$2
    mkdir -p "$scratch/home-$2" "$scratch/to/$2"
    : >"$log"
    HOME=$scratch/home-$2 "$1" recv --dir "$scratch/to/$2" --listen 127.0.0.1:0 \
        >"$log" 2>&1 </dev/null &
    wait_until grep -q 'Listening on .*, receiving into' "$log" || {
        cat "$log" >&2
        fail "$1 recv does not start"
    }
    address=$(sed -n 's/.*Listening on \(.*\), receiving into.*/\1/p' "$log" | head -n 1)
}

start_xfer() {
    start_receiver "$xfer" xfer
    xfer_address=$address
}
send_xfer() { HOME=$scratch/home-xfer "$xfer" send --quiet "$1" "$xfer_address"; }

start_other() {
    [ -n "$other" ] || return 1
    start_receiver "$other" other
    other_address=$address
}
send_other() { HOME=$scratch/home-other "$other" send --quiet "$1" "$other_address"; }

# Starts an sshd with keys of its own, for those who need one.
start_ssh() {
    local tool sshd try
    for tool in ssh ssh-keygen sshd; do
        has "$tool" || {
            left_out "all that needs ssh: there is no $tool"
            return 1
        }
    done
    sshd=$(command -v sshd) # It wants its whole path.
    if [ "$(id -u)" = 0 ] && [ -d /run ] && [ ! -e /run/sshd ]; then
        mkdir -m 755 /run/sshd && made_privsep=/run/sshd
    fi
    mkdir "$scratch/ssh"
    ssh-keygen -q -t ed25519 -N '' -f "$scratch/ssh/host"
    ssh-keygen -q -t ed25519 -N '' -f "$scratch/ssh/user"
    printf 'compare %s\n' "$(cat "$scratch/ssh/host.pub")" >"$scratch/ssh/known"
    for ((try = 0; try < 5; try++)); do
        free_port
        cat >"$scratch/ssh/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey "$scratch/ssh/host"
AuthorizedKeysFile "$scratch/ssh/user.pub"
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
END
        cat >"$scratch/ssh/config" <<END
Host compare
HostName 127.0.0.1
HostKeyAlias compare
Port $port
User $(id -un)
IdentityFile "$scratch/ssh/user"
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile "$scratch/ssh/known"
GlobalKnownHostsFile /dev/null
BatchMode yes
LogLevel ERROR
END
        "$sshd" -D -e -f "$scratch/ssh/sshd_config" >"$scratch/log/sshd" 2>&1 </dev/null &
        if wait_until listens; then
            ssh -F "$scratch/ssh/config" compare true >"$scratch/log/ssh" 2>&1 </dev/null &&
                return
            left_out "all that needs ssh: it does not let in ($(last_words ssh))"
            return 1
        fi
    done
    left_out "all that needs ssh: sshd does not start ($(last_words sshd))"
    return 1
}

start_rsync_ssh() {
    [ "$ssh_works" = yes ] || return 1
    has rsync || {
        left_out "rsync over ssh: there is no rsync"
        return 1
    }
}
send_rsync_ssh() {
    rsync -a --whole-file -e "ssh -F '$scratch/ssh/config'" \
        --rsync-path="$(command -v rsync)" "$1" "compare:$scratch/to/rsync_ssh/"
}

start_rsyncd() {
    has rsync || {
        left_out "rsync's daemon: there is no rsync"
        return 1
    }
    local try
    for ((try = 0; try < 5; try++)); do
        free_port
        {
            printf 'use chroot = no\n'
            # Else it would give up its rights, and not be able to write.
            [ "$(id -u)" != 0 ] || printf 'uid = 0\ngid = 0\n'
            printf '[to]\npath = %s\nread only = no\n' "$scratch/to/rsyncd"
        } >"$scratch/rsyncd.conf"
        rsync --daemon --no-detach --address=127.0.0.1 --port="$port" \
            --config="$scratch/rsyncd.conf" --log-file="$scratch/log/daemon" \
            >"$scratch/log/rsyncd" 2>&1 </dev/null &
        if wait_until listens; then
            rsyncd_port=$port
            return
        fi
    done
    left_out "rsync's daemon: it does not start ($(last_words rsyncd))"
    return 1
}
send_rsyncd() { rsync -a --whole-file "$1" "rsync://127.0.0.1:$rsyncd_port/to/"; }

start_scp() {
    [ "$ssh_works" = yes ] || return 1
    has scp || {
        left_out "scp: there is none"
        return 1
    }
}
send_scp() { scp -q -r -p -F "$scratch/ssh/config" "$1" "compare:$scratch/to/scp/"; }

# There are several programs of that name.
start_nc() {
    local help
    has nc || {
        left_out "nc: there is none"
        return 1
    }
    help=$(nc -h 2>&1 </dev/null || true)
    nc_listen=(nc -n -v -l)
    nc_address=(127.0.0.1)
    nc_send=(nc -n -w 30)
    if grep -q -e '--send-only' <<<"$help"; then # nmap's
        nc_listen+=(--recv-only)
        nc_send+=(--send-only)
    elif grep -q '\[-46[A-Za-z]*N' <<<"$help"; then # OpenBSD's; without -N it needs none
        nc_send+=(-N)
    elif ! grep -q '\[-46' <<<"$help"; then # the old one, and BusyBox'
        nc_address=(-p)
        ! grep -q -e '-q secs' <<<"$help" || nc_send+=(-q 0)
    fi
    mkfifo "$scratch/pipe"
}
nc_is_ready() { grep -qi listening "$scratch/log/nc-listen"; }
# Before the time is taken. To see whether it listens by asking would be taken for the sender.
before_nc() {
    free_port
    tar_pid=
    local out=$scratch/to/nc/large log=$scratch/log/nc-listen
    if [ -d "$1" ]; then
        out=$scratch/pipe
        tar -xf - -C "$scratch/to/nc" <"$scratch/pipe" &
        tar_pid=$!
    fi
    : >"$log"
    "${nc_listen[@]}" "${nc_address[@]}" "$port" >"$out" 2>"$log" </dev/null &
    nc_pid=$!
    wait_until nc_is_ready
}
send_nc() {
    local to=("${nc_send[@]}" 127.0.0.1 "$port")
    if [ -d "$1" ]; then
        tar -cf - -C "$(dirname "$1")" "$(basename "$1")" | "${to[@]}" &&
            wait "$nc_pid" && wait "$tar_pid"
    else
        "${to[@]}" <"$1" && wait "$nc_pid"
    fi
}

title_of() {
    case $1 in
        xfer) echo "xfer" ;;
        other) echo "the other xfer" ;;
        rsync_ssh) echo "rsync over ssh" ;;
        rsyncd) echo "rsync's daemon" ;;
        scp) echo "scp" ;;
        nc) echo "nc" ;;
    esac
}

# Whether a tool knows what it need not send again.
can_repeat() { [ "$1" != scp ] && [ "$1" != nc ]; }

# Brings to disk what others left behind, which xfer would have to wait for at its end.
settle() { sync -f "$scratch" 2>/dev/null || sync; }

# Takes the time of a tool for a path; the time is kept under the name of what is done.
measure() {
    local tool=$1 source=$2 what=$3 seconds
    settle
    if declare -F "before_$tool" >/dev/null; then
        "before_$tool" "$source" || return 1
    fi
    local TIMEFORMAT=%R
    {
        time "send_$tool" "$source" >"$scratch/log/$tool" 2>&1 </dev/null
    } 2>"$scratch/seconds" || return 1
    seconds=$(tail -n 1 "$scratch/seconds")
    printf '%s\n' "$seconds" >>"$scratch/times/$tool.$what"
    say "  $(title_of "$tool"), $what: $seconds s"
}

# Has a tool send a path, and again where asked to; checks the first time what came of it.
try_tool() {
    local tool=$1 name=$2 source to
    source=$scratch/from/$name
    to=$scratch/to/$tool
    measure "$tool" "$source" "$name" || return 1
    if [ "$name" = small ] && can_repeat "$tool"; then
        measure "$tool" "$source" again || return 1
    fi
    if [ "$round" = 1 ]; then
        diff -r "$source" "$to/$name" >"$scratch/log/$tool" 2>&1 || return 1
    fi
    rm -rf "${to:?}/$name"
}

run_tools() {
    local tool words left=()
    for tool in "${tools[@]}"; do
        if try_tool "$tool" "$1"; then
            left+=("$tool")
            continue
        fi
        words=$(last_words "$tool")
        [ "$tool" != xfer ] || fail "xfer has failed: $words"
        left_out "$(title_of "$tool"): it has failed${words:+ ($words)}"
        rm -rf "${scratch:?}/to/$tool/$1" "$scratch/times/$tool".*
    done
    tools=("${left[@]}")
}

make_source() {
    local n folder
    say "Making the files in $scratch ..."
    head -c $((large_mib * 1048576)) /dev/urandom >"$scratch/from/large"
    for ((n = 0; n < small_folders; n++)); do
        folder=$scratch/from/small/folder-$n
        mkdir -p "$folder"
        head -c $((small_files * small_bytes)) /dev/urandom |
            split -b "$small_bytes" -a 2 - "$folder/file-"
    done
}

# The median of the numbers in a file; nothing where there is no file.
median() {
    [ -s "$1" ] || return 0
    sort -n "$1" | awk '{ a[NR] = $1 }
        END { printf "%.3f", (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'
}

row() {
    local title=$1 what=$2 tool first time
    first=$(median "$scratch/times/xfer.$what")
    printf '| %s |' "$title"
    for tool in "${tools[@]}"; do
        time=$(median "$scratch/times/$tool.$what")
        if [ -z "$time" ]; then
            printf ' – |'
        elif [ "$tool" = xfer ]; then
            printf ' %.2f |' "$time"
        else
            awk -v t="$time" -v x="$first" \
                'BEGIN { printf " %.2f (%.1f×) |", t, t / (x > 0 ? x : 0.001) }'
        fi
    done
    printf '\n'
}

machine() {
    local cpu='' cores
    if [ -r /proc/cpuinfo ]; then
        cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
    elif has sysctl; then
        cpu=$(sysctl -n machdep.cpu.brand_string 2>/dev/null || true)
    fi
    cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo "?")
    printf '%s, %s cores, %s' "${cpu:-$(uname -m)}" "$cores" "$(uname -sr)"
}

# The folder that it was in, and what kind of file system that is, where the system can say.
place() {
    local kind
    kind=$(findmnt -n -o FSTYPE -T "$dir" 2>/dev/null | tail -n 1 || true)
    printf '%s%s' "$dir" "${kind:+ ($kind)}"
}

versions() {
    "$xfer" --version
    [ -z "$other" ] || printf 'the other: %s, %s\n' "$other" "$("$other" --version)"
    case " ${tools[*]} " in
        *" rsync"*) rsync --version | sed -n '1s/^\(rsync\)  *version \([^ ]*\).*/\1 \2/p' ;;
    esac
    [ "$ssh_works" != yes ] || ssh -V 2>&1 | sed 's/,.*//'
}

ssh_works=no
if start_ssh; then ssh_works=yes; fi
tools=()
for tool in xfer other rsync_ssh rsyncd scp nc; do
    mkdir -p "$scratch/to/$tool"
    if "start_$tool"; then tools+=("$tool"); fi
done
make_source
for ((round = 1; round <= rounds; round++)); do
    say "Round $round of $rounds"
    run_tools large
    run_tools small
done

printf 'Seconds, medians of %s rounds (and how many times that of xfer it is);\n' "$rounds"
printf 'sender and receiver on one machine, in %s:\n%s.\n' "$(place)" "$(machine)"
versions | awk '{ printf "%s%s", sep, $0; sep = "; " } END { print "." }'
# shellcheck disable=SC2016  # It is Markdown.
printf 'Made with `%s`.\n\n|' "$command"
for tool in "${tools[@]}"; do printf ' | %s' "$(title_of "$tool")"; done
printf ' |\n|---|'
for tool in "${tools[@]}"; do printf -- '---|'; done
printf '\n'
row "$large_title" large
row "$small_title" small
row "the small ones again, unchanged" again
