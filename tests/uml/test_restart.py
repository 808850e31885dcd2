"""Runs with limits outlive the server on a kernel that hands controllers on, below systemd 252.

There a group that hands controllers on takes no process, the next server included, unless
post-stop takes them back; and this kernel tells nobody how a process ended that was reaped.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.uml.booted import run_booted

pytestmark = pytest.mark.uml

RUNWIRE = Path(sys.executable).with_name("runwire")
FOR_THE_MACHINE = r"""
runwire=$1
shift
chmod a+rx "$@"
jobs=/etc/runwire/jobs.toml state=/var/lib/runwire
of=
as_its_owner() {
    "$@"
}
# A layer over the file system of the host knows no such links as the state directory needs.
mkdir -p $state
mount -t tmpfs tmpfs $state
"""
FOR_A_USER = r"""
runwire=$1
shift
chmod a+rx "$@"
mount -t tmpfs tmpfs /home
useradd --create-home ann
uid=$(id -u ann)
loginctl enable-linger ann
systemctl start user@$uid.service
jobs=/home/ann/.config/runwire/jobs.toml state=/home/ann/.local/state/runwire
of=--user
as_its_owner() {
    setpriv --reuid=ann --regid=ann --init-groups env -C / HOME=/home/ann XDG_RUNTIME_DIR=/run/user/$uid "$@"
}
"""
SCRIPT = r"""
trap '[ $? = 0 ] || journalctl -o cat --no-pager | tail -40' EXIT
ask() {
    as_its_owner systemctl $of show --value -p $1 runwire.service
}
as_its_owner $runwire install-service $of > /dev/null
cat >> $jobs << 'EOF'
[jobs.limited]
shell = "trap '' PIPE; n=0; while [ ! -e /tmp/go ]; do echo $((n += 1)); sleep 0.1; done; exit 7"
limits = { memory = "64MiB", pids = 20, cpu = 0.5 }
EOF
as_its_owner systemctl $of start runwire.socket runwire.service
run=$(as_its_owner $runwire submit limited)
# The log itself is looked at: a command of ours takes this kernel a second.
tell() {
    until grep -q $1 $state/logs/$run.log; do sleep 0.2; done
    cd /sys/fs/cgroup$(ask ControlGroup)/runwire-*/run-$run
    echo "$2 $(cat memory.max pids.max cpu.max | tr '\n' ' ')$(as_its_owner $runwire show --json $run | tr , '\n' | grep -c '"status":"running"\|"survives_restart":true')"
    cd /
}
tell 5 first
as_its_owner systemctl $of restart runwire.service
tell 50 restarted
main=$(ask MainPID)
kill -9 $main
while :; do
    new=$(ask MainPID)
    [ $new != 0 ] && [ $new != $main ] && [ $(ask ActiveState) = active ] && break
    sleep 0.2
done
tell 90 killed
touch /tmp/go
until as_its_owner $runwire show --json $run | grep -q '"status":"failed"'; do sleep 0.2; done
as_its_owner $runwire show --json $run | tr , '\n' | grep '^"exit_code":'
as_its_owner $runwire logs $run | awk '$1 != NR { bad = 1 } END { print bad ? "numbers are missing" : "all numbers" }'
"""


@pytest.mark.parametrize("prepare", [FOR_THE_MACHINE, FOR_A_USER], ids=["machine", "user"])
def test_limits_hold_again_and_the_next_server_gets_its_group(prepare: str) -> None:
    """A service manager of a user is handed the controllers of processor, memory and processes."""
    programs = (RUNWIRE, Path(sys.executable).resolve())
    parts = {str(part) for program in programs for part in (program, *program.parents)}
    done = run_booted("sh", "-ec", prepare + SCRIPT, "sh", RUNWIRE, *sorted(parts))
    limits = f"{64 << 20} 20 50000 100000"
    assert done.stdout.splitlines()[-5:] == [
        f"first {limits} 2",
        f"restarted {limits} 2",
        f"killed {limits} 2",
        '"exit_code":7',
        "all numbers",
    ], done.stdout + done.stderr
