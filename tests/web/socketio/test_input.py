"""What a Socket.IO client types reaches the run, as over a WebSocket."""

from __future__ import annotations

import trio

from tests.patience import PATIENCE_S
from tests.web.polled import told, watching
from tests.web.scene import output
from tests.web.served import TOKEN, Site


async def test_what_is_emitted_as_input_is_read_and_answered(site: Site) -> None:
    run_id = await site.shell("cat", stdin="open")
    await site.running(run_id)
    client = await watching(site, run_id, token=TOKEN)
    await client.say('42["run-event",{"type":"input","data":"typed\\n"}]')
    await client.say('42["run-event",{"type":"input","eof":true}]')
    packets: list[str] = []
    with trio.fail_after(PATIENCE_S):
        while not any('"end"' in packet for packet in packets):
            packets += await client.poll()
    said = told([packet for packet in packets if packet.startswith("42")])
    assert [message["taken"] for message in said if message["type"] == "input"] == [6, 0]
    assert "".join(message["data"] for message in output(said)) == "typed\n"
