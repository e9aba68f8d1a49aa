# Reads "add PID" and "del PID" lines. When the input ends, because the owner stopped or was killed,
# everything still listed is killed. Ctrl-C goes to the whole terminal: this one must outlive its owner.
trap '' INT TERM HUP

# The start time of a process: a pid that was used again has another one. Empty for a process that is gone.
born() {
    if [ -d /proc/self ]; then
        read -r stat 2>/dev/null < "/proc/$1/stat" || return
        # The name in brackets may hold anything; what follows the last bracket is plain numbers.
        set -- ${stat##*) }
        echo "${20}"
    else
        ps -o lstart= -p "$1" | tr -d ' '
    fi
}

listed=
while read -r verb pid; do
    case $verb in
    add)
        listed="$listed $pid:$(born "$pid")"
        ;;
    del)
        kept=
        for one in $listed; do
            [ "${one%%:*}" = "$pid" ] || kept="$kept $one"
        done
        listed=$kept
        ;;
    esac
done

for one in $listed; do
    since=${one#*:}
    if [ -n "$since" ] && [ "$(born "${one%%:*}")" = "$since" ]; then
        kill -9 "${one%%:*}"
    fi
done
