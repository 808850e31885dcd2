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
SCRIPT = r"""
set -e
trap '[ $? = 0 ] || journalctl -u runwire.service -o cat --no-pager | tail -40' EXIT
runwire=$1
shift
chmod a+rx "$@"
$runwire install-service > /dev/null
cat >> /etc/runwire/jobs.toml << 'EOF'
[jobs.limited]
shell = "trap '' PIPE; n=0; while [ ! -e /tmp/go ]; do echo $((n += 1)); sleep 0.1; done; exit 7"
limits = { memory = "64MiB", pids = 20 }
EOF
# A layer over the file system of the host knows no such links as the state directory needs.
mkdir -p /var/lib/runwire
mount -t tmpfs tmpfs /var/lib/runwire
systemctl start runwire.socket runwire.service
run=$($runwire submit limited)
tell() {
    until $runwire logs $run | grep -q "$1"; do sleep 0.2; done
    cd /sys/fs/cgroup/system.slice/runwire.service/runwire-*/run-$run
    echo "$2 $(cat memory.max) $(cat pids.max) $($runwire show --json $run | tr , '\n' | grep -c '"status":"running"\|"survives_restart":true')"
    cd /
}
tell 5 first
systemctl restart runwire.service
tell 50 restarted
main=$(systemctl show --value -p MainPID runwire.service)
kill -9 $main
while :; do
    new=$(systemctl show --value -p MainPID runwire.service)
    [ $new != 0 ] && [ $new != $main ] && systemctl is-active -q runwire.service && break
    sleep 0.2
done
tell 90 killed
touch /tmp/go
until $runwire show --json $run | grep -q '"status":"failed"'; do sleep 0.2; done
$runwire show --json $run | tr , '\n' | grep '^"exit_code":'
$runwire logs $run | awk '$1 != NR { bad = 1 } END { print bad ? "numbers are missing" : "all numbers" }'
"""


def test_limits_hold_again_and_the_next_server_gets_its_group() -> None:
    programs = (RUNWIRE, Path(sys.executable).resolve())
    parts = {str(part) for program in programs for part in (program, *program.parents)}
    done = run_booted("sh", "-c", SCRIPT, "sh", RUNWIRE, *sorted(parts))
    assert done.stdout.splitlines()[-5:] == [
        f"first {64 << 20} 20 2",
        f"restarted {64 << 20} 20 2",
        f"killed {64 << 20} 20 2",
        '"exit_code":7',
        "all numbers",
    ], done.stdout + done.stderr
