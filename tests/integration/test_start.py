# SPDX-License-Identifier: Apache-2.0
"""What keeps the daemon from starting: one line each, of one shape, on standard error."""

import os
import pathlib
import re
import socket
import subprocess

import pytest

from support.daemon import run_to_end

CERTIFICATES = pathlib.Path(__file__).resolve().parents[1] / "support" / "certificates"
ANY = ("--listen", "127.0.0.1:0")
PAIR = ("--tls-cert", "{dir}/server.pem", "--tls-key", "{dir}/server.key")

# A name, what it is given, the exit code, and what the line says behind "singleflightd: ".
ROWS = [
    ("flag", ("--nonsense",), 64, "--nonsense is not a flag"),
    ("number", ("--flights-limit", "x"), 64, '--flights-limit "x" must be a whole number'),
    ("config file", ("--config", "{dir}/none"), 78, "cannot read the config file {dir}/none: No such"),
    ("config line", ("--config", "{dir}/config"), 78, '{dir}/config:1: flights-limit "x" must be'),
    ("open address", ("--listen", "0.0.0.0:0"), 78, "listen 0.0.0.0:0 can be reached by"),
    ("half a pair", (*ANY, "--tls-cert", "{dir}/server.pem"), 78, "tls-cert is set without tls-key"),
    ("no token file", (*ANY, "--token-file", "{dir}/none"), 78, "token-file {dir}/none: cannot be read"),
    ("token line", (*ANY, "--token-file", "{dir}/config"), 78, "token-file {dir}/config:1: is not"),
    ("token file is a pipe", (*ANY, "--token-file", "{dir}/pipe"), 78,
     "token-file {dir}/pipe: is no regular file"),
    ("certificate is a pipe", (*ANY, "--tls-cert", "{dir}/pipe", *PAIR[2:]), 78,
     "tls-cert {dir}/pipe: is no regular file"),
    ("token file is a folder", (*ANY, "--token-file", "{dir}"), 78,
     "token-file {dir}: is no regular file"),
    ("access line", (*ANY, "--access-file", "{dir}/access"), 78, "access-file {dir}/access:1: a section"),
    ("no certificate", (*ANY, "--tls-cert", "{dir}/none", *PAIR[2:]), 78, "tls-cert {dir}/none: cannot"),
    ("no key", (*ANY, *PAIR[:3], "{dir}/config"), 78, "tls-key {dir}/config: has no private key"),
    ("no CA", (*ANY, *PAIR, "--tls-client-ca", "{dir}/config"), 78, "tls-client-ca {dir}/config: has no"),
    ("no folder", (*ANY, "--data-dir", "/proc/none"), 1, "data-dir /proc/none: No such file"),
    ("a file as folder", (*ANY, "--data-dir", "{dir}/config"), 1, "data-dir {dir}/config/"),
    ("port in use", ("--listen", "{taken}"), 1, "listen {taken}: Address already in use"),
    ("admin port in use", (*ANY, "--admin-listen", "{taken}"), 1, "admin-listen {taken}: Address already"),
    ("no such address", ("--listen", "no.such.host.invalid:9", "--insecure-listen"), 1,
     "listen no.such.host.invalid:9: "),
    ("no place for a socket", (*ANY, "--unix-socket", "/proc/none/s"), 1,
     "unix-socket /proc/none/s: No such"),
]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    subprocess.run([CERTIFICATES, folder], check=True)
    (folder / "config").write_text("flights-limit = x\n")
    os.mkfifo(folder / "pipe")
    (folder / "access").write_text("[group x\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield {"dir": folder, "taken": f"127.0.0.1:{taken.getsockname()[1]}"}


@pytest.mark.parametrize("given, code, said", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("log", ["logfmt", "json"])
def test_what_keeps_it_from_starting_is_one_line(words, given, code, said, log):
    ended = run_to_end("--log-format", log, *(word.format(**words) for word in given))
    assert ended.returncode == code, ended.stderr
    assert ended.stdout == ""
    line, *rest = ended.stderr.splitlines()
    assert line.startswith("singleflightd: " + said.format(**words))
    assert re.search(r"\S$", line)
    # Who mistypes a flag is told where to look.
    assert rest == (["Try 'singleflightd --help'."] if given == ("--nonsense",) else [])
