#!/bin/sh
# A tree of processes that answer SIGTERM with a line and go on: stubborn.sh [CHILDREN].
# Each child has a child of its own, which does not even answer. Only SIGKILL ends them.

say() {
    printf '\033[38;5;245m%s\033[0m \033[1;3%dm%-9s\033[0m %s\n' "$(date +%T)" "$1" "$2" "$3"
}

# Waits that are interrupted by a signal, so that it is answered at once.
pause() {
    sleep "$1" &
    wait $! 2>/dev/null
}

child() {
    name="child $1"
    trap 'say 3 "$name" "SIGTERM? Not me."' TERM
    (trap "" TERM; exec sleep 3600) &
    say 6 "$name" "here, with a child of its own that is deaf"
    while :; do pause 60; done
}

trap 'say 1 parent "SIGTERM? I am busy." >&2' TERM
say 2 parent "pid $$, starting ${1:-3} children; cancel me and see"
number=0
while [ "$number" -lt "${1:-3}" ]; do
    number=$((number + 1))
    child "$number" &
done

beat=0
while :; do
    pause 2
    beat=$((beat + 1))
    say 2 parent "still here, beat $beat"
done
