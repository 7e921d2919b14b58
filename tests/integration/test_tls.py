# SPDX-License-Identifier: Apache-2.0
"""The daemon's door: TLS, who is let in, and certificates that change while it serves."""

import contextlib
import os
import signal
import subprocess
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2

from support.daemon import Daemon, run_to_end, sanitized
from support.flood import flooding
from support.http2 import CHECK, HEADERS, Peer
from support.net import Net
from support.secure import Certificates, SecureNet, shown_serial, tcp
from support.wait import BOUND, milliseconds, until

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Made once; tests that change them take a copy."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    certificates.make("eve", "DNS:eve.example", ca="other")
    return certificates


@pytest.fixture
def certificates(made, tmp_path):
    return Certificates(tmp_path / "certificates", like=made)


@contextlib.contextmanager
def secure_net(daemon, credentials):
    net = SecureNet(daemon, credentials)
    try:
        yield net
    finally:
        net.close()


def is_let_in(daemon, credentials):
    """One caller on a connection of its own."""
    with secure_net(daemon, credentials) as net:
        try:
            return net.health_of("") == SERVING
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return False


# --- who is let in ---


def test_callers_share_a_flight_over_tls(made):
    with Daemon(*made.flags()) as daemon, secure_net(daemon, made.credentials()) as net:
        leader = net.lead()
        follower = net.follow()
        leader.finish(b"value")
        assert follower.delivery().value == b"value"
        assert net.health_of("") == SERVING
        assert "event=tls client_certificates=" in daemon.log()


def test_who_believes_another_ca_does_not_connect(made):
    with Daemon(*made.flags()) as daemon:
        assert is_let_in(daemon, made.credentials())
        assert not is_let_in(daemon, made.credentials(ca="other"))


def test_a_certificate_is_required(made):
    with Daemon(*made.flags(client_ca="ca")) as daemon:
        assert is_let_in(daemon, made.credentials("alice"))
        assert not is_let_in(daemon, made.credentials())
        assert not is_let_in(daemon, made.credentials("eve"))


def test_a_certificate_may_be_optional(made):
    """One that is shown must be good all the same."""
    with Daemon(*made.flags(client_ca="ca"), "--tls-client-auth", "optional") as daemon:
        assert is_let_in(daemon, made.credentials("alice"))
        assert is_let_in(daemon, made.credentials())
        assert not is_let_in(daemon, made.credentials("eve"))


def test_an_expired_client_does_not_connect(certificates):
    certificates.make("old", "DNS:old.example", expired=True)
    with Daemon(*certificates.flags(client_ca="ca")) as daemon:
        assert not is_let_in(daemon, certificates.credentials("old"))


def test_the_unix_socket_stays_plain(made, tmp_path):
    socket_path = tmp_path / "socket"
    flags = (*made.flags(client_ca="ca"), "--unix-socket", socket_path)
    with Daemon(*flags) as daemon, contextlib.closing(
        Net(daemon, address=f"unix:{socket_path}")
    ) as net:
        assert net.health_of("") == SERVING
        assert not is_let_in(daemon, made.credentials())


# --- a start that cannot be ---


def without_key(certificates):
    certificates.key("server").unlink()
    return "server.key: cannot be read: No such file"


def expired(certificates):
    certificates.make("server", expired=True)
    return "server.pem: certificate 1"


def of_another(certificates):
    certificates.key("alice").replace(certificates.key("server"))
    return "server.key: does not belong to the certificate in"


def no_pem(certificates):
    certificates.pem("server").write_text("nothing\n")
    return "server.pem: has no certificate in PEM"


def cut_off(certificates):
    text = certificates.pem("server").read_text()
    certificates.pem("server").write_text(text[: len(text) // 2])
    return "server.pem: certificate 1 cannot be read"


def with_passphrase(certificates):
    subprocess.run(
        ["openssl", "pkey", "-aes128", "-passout", "pass:secret"]
        + ["-in", certificates.key("server"), "-out", certificates.folder / "locked"],
        check=True,
        timeout=BOUND,
    )
    (certificates.folder / "locked").replace(certificates.key("server"))
    return "server.key: has a passphrase"


def empty_ca(certificates):
    certificates.pem("ca").write_text("")
    return "ca.pem: has no certificate in PEM"


@pytest.mark.parametrize(
    "spoil", [without_key, expired, of_another, no_pem, cut_off, with_passphrase, empty_ca]
)
def test_it_does_not_start_with_what_is_broken(certificates, spoil):
    """One clear line and exit code 78, before any address is taken."""
    said = spoil(certificates)
    ended = run_to_end("--listen", "127.0.0.1:0", *certificates.flags(client_ca="ca"))
    assert ended.returncode == 78
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("singleflightd: ") and said in line
    checked = run_to_end("--check-config", *certificates.flags(client_ca="ca"))
    assert checked.returncode == 78 and said in checked.stderr


def test_an_address_for_others_needs_more_than_a_certificate(made):
    ended = run_to_end("--listen", "0.0.0.0:0", *made.flags())
    assert ended.returncode == 78
    assert "tls-client-ca or token-file" in ended.stderr
    with Daemon("--insecure-listen", listen=["0.0.0.0:0"]) as daemon:
        until(lambda: "event=insecure_listen" in daemon.log(), "the warning")
    with Daemon(*made.flags(client_ca="ca"), listen=["0.0.0.0:0"]) as daemon:
        assert "insecure_listen" not in daemon.log()


# --- certificates that change ---


class Load:
    """Calls without a pause, on one connection that stays and on new ones."""

    def __init__(self, daemon, credentials):
        self.failed = []
        self.made = 0
        self._net = SecureNet(daemon, credentials)
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=[call]) for call in (self._stay, self._come)
        ]
        for thread in self._threads:
            thread.start()

    def _stay(self):
        assert self._net.health_of("") == SERVING

    def _come(self):
        with secure_net(self._net.daemon, self._net._credentials) as net:
            assert net.health_of("") == SERVING
        self.made += 1

    def _run(self, call):
        while not self._over.is_set():
            try:
                call()
            except Exception as error:
                self.failed.append(error)

    def goes_on(self):
        """Waits for some more new connections."""
        aim = self.made + 5
        until(lambda: self.made >= aim or self.failed, "calls")

    def __enter__(self):
        self.goes_on()
        return self

    def __exit__(self, kind, value, trace):
        self._over.set()
        for thread in self._threads:
            thread.join(BOUND)
        self._net.close()


def shows(daemon, serial):
    return lambda: shown_serial(daemon.address) == serial


def test_a_renewed_certificate_is_shown_without_a_failed_call(certificates):
    """Renamed into place, key after certificate, under load."""
    before = certificates.serial()
    with Daemon(*certificates.flags()) as daemon:
        assert shown_serial(daemon.address) == before
        with Load(daemon, certificates.credentials()) as load:
            for _ in range(3):
                certificates.make("server")
                until(shows(daemon, certificates.serial()), "the new one", every=0.1)
                load.goes_on()
        assert load.failed == []
        assert daemon.log().count("event=certificates_reloaded") == 3
        assert "certificates_not_reloaded" not in daemon.log()


def kubernetes_volume(folder, certificates):
    """A Secret as the kubelet mounts it: the files are links through ..data, which is swapped."""
    folder.mkdir()

    def put(number):
        version = folder / f"..{number}"
        version.mkdir()
        for name, suffix in (("tls.crt", "pem"), ("tls.key", "key")):
            (version / name).write_bytes((certificates.folder / f"server.{suffix}").read_bytes())
        (folder / "..data_tmp").symlink_to(version.name)
        os.replace(folder / "..data_tmp", folder / "..data")

    put(0)
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(f"..data/{name}")
    return put


def test_a_secret_of_kubernetes_is_shown_when_its_link_is_swapped(certificates, tmp_path):
    put = kubernetes_volume(tmp_path / "volume", certificates)
    flags = ("--tls-cert", tmp_path / "volume/tls.crt", "--tls-key", tmp_path / "volume/tls.key")
    with Daemon(*flags) as daemon, Load(daemon, certificates.credentials()) as load:
        certificates.make("server")
        put(1)
        until(shows(daemon, certificates.serial()), "the new one", every=0.1)
        load.goes_on()
        assert load.failed == []
        assert "certificates_not_reloaded" not in daemon.log()


def test_a_broken_one_changes_nothing_and_is_said_once(certificates):
    before = certificates.serial()
    key = certificates.key("server").read_bytes()
    with Daemon(*certificates.flags()) as daemon:
        certificates.key("server").write_text("no key\n")
        until(lambda: "certificates_not_reloaded" in daemon.log(), "it is said")
        assert "server.key: has no private key in PEM" in daemon.log()
        assert shown_serial(daemon.address) == before
        assert is_let_in(daemon, certificates.credentials())
        certificates.key("server").write_bytes(key)
        until(lambda: "event=certificates_reloaded" in daemon.log(), "the good one is taken")
        # Several looks later.
        certificates.make("server")
        until(shows(daemon, certificates.serial()), "the new one", every=0.1)
        assert daemon.log().count("certificates_not_reloaded") == 1


def test_an_expired_one_does_not_take_the_place_of_a_good_one(certificates):
    before = certificates.serial()
    with Daemon(*certificates.flags()) as daemon:
        certificates.make("server", expired=True)
        until(lambda: "certificates_not_reloaded" in daemon.log(), "it is said")
        assert shown_serial(daemon.address) == before


def test_hangup_reads_them_at_once(certificates):
    with Daemon(*certificates.flags()) as daemon:
        daemon.signal(signal.SIGHUP)
        until(lambda: "event=certificates_reloaded" in daemon.log(), "they are read")
        assert "nothing_to_reload" not in daemon.log()


def test_another_ca_holds_for_new_connections(certificates):
    with Daemon(*certificates.flags(client_ca="ca")) as daemon:
        assert not is_let_in(daemon, certificates.credentials("eve"))
        with secure_net(daemon, certificates.credentials("alice")) as net:
            assert net.health_of("") == SERVING
            believed = certificates.pem("ca").read_bytes()
            certificates.pem("other").replace(certificates.pem("ca"))
            (certificates.folder / "first.pem").write_bytes(believed)
            until(lambda: "event=certificates_reloaded" in daemon.log(), "it is taken")
            assert is_let_in(daemon, certificates.credentials("eve", ca="first"))
            assert not is_let_in(daemon, certificates.credentials("alice", ca="first"))
            assert net.health_of("") == SERVING


# --- peers that want no call ---

HELLO = bytes.fromhex("160301006801000064030300") + bytes(95)  # the beginning of one


def grpc_lines(daemon):
    return daemon.log().count("event=grpc")


def test_a_hello_to_a_plain_port_ends_there():
    with Daemon() as daemon, tcp(daemon.address) as peer:
        peer.sendall(HELLO + bytes(4000))
        until(lambda: is_ended(peer), "it is closed")


def is_ended(peer):
    with contextlib.suppress(ConnectionError):
        return peer.recv(4096) == b""
    return True


def test_a_plain_call_to_a_secure_port_ends_there(made):
    with Daemon(*made.flags()) as daemon, Peer(daemon.address) as peer:
        peer.send(b"".join([bytes(5), CHECK.encode(), bytes([HEADERS])]))
        until(lambda: is_ended(peer.socket), "it is closed")
        assert is_let_in(daemon, made.credentials())


def test_a_scan_of_the_port_is_a_few_lines(made):
    """A thousand connections that say nothing, nonsense, or half a hello."""
    with Daemon(*made.flags(client_ca="ca")) as daemon:
        for number in range(1000):
            with tcp(daemon.address) as peer:
                peer.sendall((b"", b"GET / HTTP/1.1\r\n\r\n", HELLO, b"\0" * 100)[number % 4])
        assert is_let_in(daemon, made.credentials("alice"))
        lines = daemon.log().count("\n")
        assert lines < 200, daemon.log()[-4000:]


def test_half_a_handshake_does_not_stay(made):
    with Daemon(*made.flags(), "--first-message-time", "1s") as daemon:
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(tcp(daemon.address)) for _ in range(10)]
            for peer in peers[:5]:
                peer.sendall(HELLO[:20])
            for peer in peers:
                until(lambda peer=peer: is_ended(peer), "it is closed")
        assert is_let_in(daemon, made.credentials())


def test_limits_on_connections_hold(made):
    flags = (*made.flags(), "--address-connections-limit", "3", "--connections-limit", "10")
    with Daemon(*flags) as daemon, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(tcp(daemon.address))
        until(lambda: is_ended(stack.enter_context(tcp(daemon.address))), "one more is closed")
        assert "limit=address-connections-limit" in daemon.log()


def test_a_message_over_the_limit_is_refused(made):
    """By its own RPC's status; the others on the connection go on."""
    flags = (*made.flags(), "--message-limit", "256KiB")
    with Daemon(*flags) as daemon, secure_net(daemon, made.credentials()) as net:
        leader = net.lead()
        caller = net.open()
        caller.send("join", net.join_message(caller="x" * 400_000))
        caller.ended(grpc.StatusCode.RESOURCE_EXHAUSTED)
        leader.finish(b"value")
        assert leader.delivery() is not None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty data", "reset"])
def test_a_flood_of_frames_holds_nobody_up(made, kind):
    """Its frames cannot be counted here, so a connection's turn ends by time alone."""
    seconds = 6
    with Daemon(*made.flags(), "--pumps", "1") as daemon:
        slowest = 0
        with flooding(daemon, kind, seconds, secured=True) as process:
            while process.is_alive():
                began = milliseconds()
                assert is_let_in(daemon, made.credentials())
                slowest = max(slowest, milliseconds() - began)
        assert sanitized() or slowest < seconds * 1000 / 2, slowest
