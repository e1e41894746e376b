"""The name servers that containers may ask."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from stackyn_server.engine.resolvers import resolvers_of_host


@pytest.mark.parametrize(
    ("hosts", "systemd", "expected"),
    [
        ("nameserver 10.0.0.53\nnameserver fd00::53\n# nameserver 1.2.3.4\n", "", ["10.0.0.53"]),
        ("nameserver 127.0.0.1\n", "nameserver 10.0.0.53\n", []),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 192.168.0.1\nnameserver 10.0.0.1\n",
         ["192.168.0.1", "10.0.0.1"]),
        ("", "", []),
    ],
)  # fmt: skip
def test_name_servers_are_those_that_the_engine_uses(
    tmp_path_factory: pytest.TempPathFactory, hosts: str, systemd: str, expected: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("resolvers")
    (folder / "hosts").write_text(hosts)
    (folder / "systemd").write_text(systemd)

    resolvers = resolvers_of_host(folder / "hosts", folder / "systemd")

    assert resolvers == [IPv4Address(address) for address in expected]
