# Pilots on a machine without a batch system: sh -c THIS bare VERB FOLDER [ARGUMENT ...]
#
# The driver hands this text on as one word, here or over SSH. Each pilot has a folder FOLDER/STAMP,
# and its stamp is its slot. In it lie
#
#     script         what is run            started   "PID TICKS BOOT" of its first process
#     stdout stderr  what it printed        code      its exit code, once it has one
#
# Where the folder `go` is, somebody has started it. The last line of every answer but that of `output`
# is `bare: done`. Needs util-linux, coreutils and findutils.

verb=$1 top=$2
shift 2
umask 077
GRACE_S=30 # between the soft signal and the hard one

# A process id alone may be another's by now: the time of its start and the boot tell it apart.
alive() {
    read -r pid ticks boot 2>/dev/null <"$1/started" || return 1
    [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] || return 1
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "${20}" = "$ticks" ]
}

case $verb in
reach)
    mkdir -p "$top" && [ -w "$top" ] || exit 1
    for tool in setsid find tail; do
        command -v "$tool" >/dev/null || { echo "bare: there is no $tool" >&2; exit 1; }
    done
    ;;
submit) # STAMP; the script comes on stdin. Started once, however often it is submitted.
    slot=$top/$1
    mkdir -p "$slot" && cat >"$slot/script.$$" && mv "$slot/script.$$" "$slot/script" || exit 1
    cat >"$slot/run.$$" <<'RUN'
cd "$1" || exit 1
stat=$(cat "/proc/$$/stat")
set -- ${stat##*) }
echo "$$ ${20} $(cat /proc/sys/kernel/random/boot_id)" >started.new && mv started.new started || exit 1
sh ./script >stdout 2>stderr </dev/null
echo $? >code.new && mv code.new code
RUN
    mv "$slot/run.$$" "$slot/run"
    if mkdir "$slot/go" 2>/dev/null; then
        setsid sh "$slot/run" "$slot" </dev/null >/dev/null 2>&1 &
    fi
    ;;
find) # STAMP ...: those of them that were started
    for stamp; do
        if [ -d "$top/$stamp/go" ]; then echo "$stamp"; fi
    done
    ;;
states) # STAMP ...: for each a line "STAMP state [code]"
    for stamp; do
        slot=$top/$stamp
        # In this order: a pilot that ends while we look has its code before it is no more.
        if [ ! -d "$slot/go" ]; then echo "$stamp gone"
        elif alive "$slot"; then echo "$stamp running"
        elif [ -f "$slot/code" ]; then echo "$stamp ended $(cat "$slot/code")"
        elif [ -f "$slot/started" ]; then echo "$stamp ended"
        # Between `go` and `started` lie milliseconds, unless the machine went down there.
        elif [ -n "$(find "$slot/go" -maxdepth 0 -mmin +1)" ]; then echo "$stamp ended"
        else echo "$stamp queued"
        fi
    done
    ;;
cancel) # STAMP ...
    for stamp; do
        slot=$top/$stamp
        alive "$slot" || continue
        kill -s TERM -- "-$pid" 2>/dev/null
        # Hard, unless it is gone by then; its group cannot be another's while one of it lives.
        setsid sh -c 'sleep "$1"; [ -f "$3/code" ] || kill -s KILL -- "-$2"' \
            grace "$GRACE_S" "$pid" "$slot" </dev/null >/dev/null 2>&1 &
    done
    ;;
output) # STAMP stdout|stderr BYTES: its end
    if [ -f "$top/$1/$2" ]; then tail -c "$3" "$top/$1/$2"; fi
    exit
    ;;
forget) # STAMP ...: of those that have ended
    for stamp; do
        if ! alive "$top/$stamp"; then rm -rf "${top:?}/${stamp:?}"; fi
    done
    ;;
*)
    echo "bare: there is no verb $verb" >&2
    exit 2
    ;;
esac
echo "bare: done"
