# SPDX-License-Identifier: Apache-2.0
"""singleflightd --health: asks the daemon that has the same settings."""

import http.server
import signal
import socket
import threading

import pytest

from support import scrape
from support.daemon import Daemon, run_to_end
from support.wait import until


@pytest.fixture
def asked():
    """A daemon with an admin port, and that port's address."""
    daemon = Daemon("--admin-listen", "127.0.0.1:0", drain_time="1m")
    yield daemon, scrape.admin_address(daemon)
    daemon.kill()


def health(address, **more):
    return run_to_end("--health", env={"SINGLEFLIGHTD_ADMIN_LISTEN": address}, **more)


def test_a_daemon_that_serves_is_ready(asked):
    """Exit code 0 and one word; flags count as well as the environment."""
    _, address = asked
    told = health(address)
    assert (told.returncode, told.stdout, told.stderr) == (0, "ready\n", "")
    told = run_to_end("--health", "--admin-listen", address)
    assert (told.returncode, told.stdout) == (0, "ready\n")


def test_all_addresses_are_asked_here(asked):
    """0.0.0.0 is where it listens, not whom to ask."""
    _, address = asked
    port = address.rsplit(":", 1)[1]
    assert health(f"localhost:{port}").returncode == 0
    assert health(f"0.0.0.0:{port}").returncode == 0


def test_a_daemon_that_stands_still_is_not_ready(asked):
    """It accepts connections and answers none."""
    daemon, address = asked
    daemon.signal(signal.SIGSTOP)
    told = health(address)
    assert told.returncode == 1 and "no answer from the admin port" in told.stderr
    daemon.signal(signal.SIGCONT)
    until(lambda: health(address).returncode == 0, "it is ready again")


def test_nobody_listens(asked):
    """One line that names the port."""
    daemon, address = asked
    daemon.kill()
    told = health(address)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"singleflightd: nobody listens at the admin port {address}: ")
    assert told.stderr.count("\n") == 1


def test_somebody_else_listens():
    """Another server's answer is no sign of health."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *unused):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        told = health(f"127.0.0.1:{server.server_port}")
        thread.join()
    assert told.returncode == 1 and "is not ready: 200 <html>" in told.stderr


@pytest.mark.parametrize("line", [b"", b"HTTP/1.1", b"HTTP/1.1 99999999999 OK\r\n\r\nready",
                                  b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_what_answers_speaks_no_http(line):
    """A line without a status is said as it is."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            peer = server.accept()[0]
            with peer:
                peer.recv(1024)
                peer.sendall(line)

        thread = threading.Thread(target=answer)
        thread.start()
        told = health(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert told.returncode == 1 and "is no singleflightd" in told.stderr


def test_without_an_admin_port():
    """There is nobody to ask, and the line says what to set."""
    told = health("")
    assert told.returncode == 1 and "set admin-listen" in told.stderr


def test_a_bad_setting_is_said_as_at_start():
    """The exit code is that of the start."""
    told = health("nonsense")
    assert told.returncode == 78 and "SINGLEFLIGHTD_ADMIN_LISTEN" in told.stderr
