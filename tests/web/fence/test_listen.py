"""Opening the doors: TCP ports and the Unix socket."""

import os
import socket
import stat
from pathlib import Path

import pytest

from supervisor.config.bind import Bind
from supervisor.config.settings import WebSettings
from supervisor.errors import ListenError
from web.fence.listen import (
    address_of,
    close_all,
    open_missing,
    open_tcp,
    open_unix,
    remove_files,
)


def test_port_0_picks_a_free_one_and_says_which() -> None:
    sockets = open_tcp(Bind("127.0.0.1", 0))
    host, port = sockets[0].getsockname()
    assert address_of(sockets[0]) == f"{host}:{port}"
    assert port > 0
    close_all(sockets)


def test_a_name_with_several_addresses_gets_them_all_on_one_port() -> None:
    sockets = open_tcp(Bind("localhost", 0))
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    close_all(sockets)


def test_a_port_in_use_is_told_in_one_line() -> None:
    first = open_tcp(Bind("127.0.0.1", 0))
    port = first[0].getsockname()[1]
    with pytest.raises(ListenError) as caught:
        open_tcp(Bind("127.0.0.1", port))
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"
    close_all(first)


def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:0: "):
        open_tcp(Bind("192.0.2.1", 0))


def test_a_name_that_does_not_exist_is_told() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on no-such-name\.invalid:0: "):
        open_tcp(Bind("no-such-name.invalid", 0))


def test_the_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        sock = open_unix(tmp_path / "s")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
    assert address_of(sock) == f"unix:{tmp_path / 's'}"
    sock.close()


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    open_unix(tmp_path / "s").close()
    sock = open_unix(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    sock.close()


def test_a_socket_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    sock = open_unix(tmp_path / "s")
    with pytest.raises(ListenError, match="another server listens there"):
        open_unix(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "s"))
    sock.close()


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ListenError, match="not a socket"):
        open_unix(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_a_path_longer_than_linux_allows_is_told(tmp_path: Path) -> None:
    longest = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
    open_unix(longest).close()
    with pytest.raises(ListenError, match="107 bytes"):
        open_unix(longest.with_name(longest.name + "x"))


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="No such file or directory"):
        open_unix(tmp_path / "none" / "s")


def test_doors_that_are_configured_are_opened_unless_there_is_one_of_their_kind(
    tmp_path: Path,
) -> None:
    """What a service manager has opened stays its own: its file is not removed."""
    web = WebSettings(bind=Bind("127.0.0.1", 0), socket=tmp_path / "s")
    sockets: list[socket.socket] = []
    paths = open_missing(sockets, web)
    assert paths == [tmp_path / "s"]
    assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_UNIX]
    assert open_missing(sockets, web) == []
    assert len(sockets) == 2
    close_all(sockets)
    remove_files(paths)
    remove_files(paths)
    assert not (tmp_path / "s").exists()
    tcp = list(open_tcp(Bind("127.0.0.1", 0)))
    assert open_missing(tcp, web) == paths
    assert [sock.family for sock in tcp] == [socket.AF_INET, socket.AF_UNIX]
    close_all(tcp)
