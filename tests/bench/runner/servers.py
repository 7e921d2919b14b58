# SPDX-License-Identifier: Apache-2.0
"""Starting and ending what is measured."""

import contextlib
import itertools
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CERTIFICATES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "support", "certificates")
PEERS = os.path.join(os.path.dirname(HERE), "peers")
START_SECONDS = 60  # under valgrind on a busy machine


class Cannot(Exception):
    """A subject cannot do a job; the text says why."""


class Server:
    """A process that listens: its pid and its addresses."""

    def __init__(self, arguments, log, folder=None):
        self.log = open(log, "ab")
        self.log_size = os.fstat(self.log.fileno()).st_size
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=self.log,
                                        stdin=subprocess.DEVNULL, cwd=folder)
        self.pid = self.process.pid
        self.addresses = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()

    def end_and_read(self, pattern):
        """Ends the server in order, and finds a number in what this run of it wrote to its log."""
        begin = self.log_size
        self.process.terminate()
        self.process.wait(START_SECONDS)
        with open(self.log.name, "rb") as file:
            file.seek(begin)
            match = re.search(pattern, file.read().decode(errors="replace"))
        if match is None:
            raise Cannot(f"{self.log.name} does not say what was looked for")
        return int(match.group(1))

    def read_addresses(self, count):
        """Waits for "… listening on ADDRESS" lines."""
        deadline = time.monotonic() + START_SECONDS
        text = b""
        selector = selectors.DefaultSelector()
        selector.register(self.process.stdout, selectors.EVENT_READ)
        while text.count(b"\n") < count:
            if not selector.select(max(0, deadline - time.monotonic())):
                raise Cannot("the server did not listen in time")
            data = os.read(self.process.stdout.fileno(), 4096)
            if not data:
                raise Cannot(f"the server ended; see {self.log.name}")
            text += data
        for line in text.decode().splitlines():
            address = line.rsplit(" ", 1)[-1]
            self.addresses["unix" if address.startswith("unix:") else "tcp"] = address
        return self

    def wait_for_port(self, port):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                # Until the next look, or until the server ends.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.process.wait(0.02)
                continue
            self.addresses["tcp"] = f"127.0.0.1:{port}"
            return self
        raise Cannot(f"the server did not listen; see {self.log.name}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Subject:
    """Somebody who does jobs. `open` gives a server for one job."""

    is_peer = False  # driven by the Go program
    load_flags = ()  # more of them for bench_load

    def __init__(self, lab, name):
        self.lab = lab
        self.name = name


class Native(Subject):
    """singleflightd or the bare server: a fresh process for every job, driven by bench_load."""

    def __init__(self, lab, name, arguments):
        super().__init__(lab, name)
        self.arguments = arguments

    def open(self, under=()):
        """`under`: a command in front of the server's, such as valgrind's."""
        path = os.path.join(self.lab.scratch, f"socket-{next(self.lab.socket_numbers)}")
        arguments = [*under] + [text.replace("{socket}", path) for text in self.arguments]
        server = Server(arguments, self.lab.log(self.name))
        try:
            return server.read_addresses(2)
        except Cannot:
            server.__exit__()
            raise


class Peer(Subject):
    """What a program gets, driven by the Go program."""

    is_peer = True

    def open(self):
        raise NotImplementedError


class GrpcGo(Peer):
    def open(self):
        return Server([self.lab.peers, "serve"], self.lab.log(self.name)).read_addresses(1)


class Ours(Peer):
    """singleflightd for the Go program: by our Go client, or by Do without one."""

    def open(self):
        arguments = [self.lab.daemon, "--listen", "127.0.0.1:0", "--log-level", "error"]
        return Server(arguments, self.lab.log(self.name)).read_addresses(1)


class GrpcGoSession(Subject):
    """The messages of Session behind grpc-go, driven by bench_load as the bare server is."""

    def open(self):
        return Server([self.lab.peers, "serve-session"],
                      self.lab.log(self.name)).read_addresses(1)


class StartedPeer(Peer):
    """Something that is not ours: a fresh process for every job, so that what it still has to do
    for the last one, such as to drop what has expired, is no burden to anybody."""

    def __init__(self, lab, name, start):
        super().__init__(lab, name)
        self.start = start

    def open(self):
        return self.start(self.lab)


class RedisPipelined(Subject):
    """Redis, driven by bench_load too: its commands are written by hand, as ours are."""

    load_flags = ("--redis",)

    def open(self):
        return start_redis(self.lab)


def start_redis(lab):
    port = free_port()
    arguments = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--dir", lab.scratch]
    return Server(arguments, lab.log("redis")).wait_for_port(port)


def start_etcd(lab):
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    data = tempfile.mkdtemp(dir=lab.memory_folder())
    arguments = ["etcd", "--data-dir", data,
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                 "--initial-cluster", f"default={peer}", "--log-level", "error"]
    return Server(arguments, lab.log("etcd")).wait_for_port(int(client.rsplit(":", 1)[1]))


class Lab:
    """The programs, the folders, and everything that was started."""

    def __init__(self, options, output):
        self.options = options
        self.build = os.path.abspath(options.build)
        self.output = output
        self.load = os.path.join(self.build, "tests", "bench", "bench_load")
        self.core = os.path.join(self.build, "tests", "bench", "bench_core")
        self.client = os.path.join(self.build, "tests", "bench", "bench_client")
        self.daemon = os.path.join(self.build, "bin", "singleflightd")
        self.peers = os.path.join(self.build, "bench-peers")
        self.missing = {}  # peer: why it is not there
        self.all = {}
        self.in_memory = None
        self.socket_numbers = itertools.count()

    def __enter__(self):
        self.scratch = tempfile.mkdtemp(prefix="singleflight-bench-")
        bare = os.path.join(self.build, "tests", "bench", "bench_bare")
        self.add(Native(self, "singleflightd", self.daemon_arguments()))
        self.add(Native(self, "bare-core", [bare, "{socket}"]))
        self.add_tls(bare)
        for pumps in (1, 2):
            self.add(Native(self, f"pumps-{pumps}",
                            self.daemon_arguments() + ["--pumps", str(pumps)]))
        if not self.options.without_peers:
            self.add_peers()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self.in_memory is not None:
            shutil.rmtree(self.in_memory, ignore_errors=True)

    def add_tls(self, bare):
        """Both over TLS, with a certificate that bench_load verifies."""
        folder = os.path.join(self.scratch, "tls")
        subprocess.run([CERTIFICATES, folder], check=True)
        certificate, key, ca = (os.path.join(folder, name)
                                for name in ("server.pem", "server.key", "ca.pem"))
        for name, arguments in (
                ("singleflightd-tls",
                 self.daemon_arguments() + ["--tls-cert", certificate, "--tls-key", key]),
                ("bare-core-tls", [bare, "{socket}", certificate, key])):
            subject = Native(self, name, arguments)
            subject.load_flags = ("--tls-ca", ca)
            self.add(subject)

    def daemon_arguments(self):
        return [self.daemon, "--listen", "127.0.0.1:0", "--unix-socket", "{socket}",
                "--log-level", "error"]

    def add(self, subject):
        self.all[subject.name] = subject

    def add_peers(self):
        if shutil.which("redis-server") is not None:
            self.add(RedisPipelined(self, "redis-pipelined"))
        else:
            self.missing["redis-pipelined"] = "there is no redis-server on this machine"
        problem = self.build_peers()
        for name, program, make in (
                ("singleflightd-go", None, lambda name: Ours(self, name)),
                ("singleflightd-do", None, lambda name: Ours(self, name)),
                ("grpc-go-session", None, lambda name: GrpcGoSession(self, name)),
                ("grpc-go-singleflight", None, lambda name: GrpcGo(self, name)),
                ("redis-rueidisaside", "redis-server", lambda name: StartedPeer(self, name, start_redis)),
                ("redis-setnx", "redis-server", lambda name: StartedPeer(self, name, start_redis)),
                ("etcd", "etcd", lambda name: StartedPeer(self, name, start_etcd))):
            if problem is not None:
                self.missing[name] = problem
            elif program is not None and shutil.which(program) is None:
                self.missing[name] = f"there is no {program} on this machine"
            else:
                self.add(make(name))

    def build_peers(self):
        """None, or why the Go program cannot be built."""
        if shutil.which("go") is None:
            return "there is no go on this machine"
        done = subprocess.run(["go", "build", "-o", self.peers, "."], cwd=PEERS,
                              capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return None
        lines = done.stderr.strip().splitlines()
        return "go build failed: " + (lines[-1] if lines else "it does not say why")

    def subjects(self, shot):
        return [self.all[name] for name in shot.subjects if name in self.all]

    def log(self, name):
        return os.path.join(self.output, f"{name}.log")

    def memory_folder(self):
        """etcd waits for its disk at every write; in memory it is at its best."""
        if self.in_memory is None:
            place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else self.scratch
            self.in_memory = tempfile.mkdtemp(prefix="singleflight-bench-", dir=place)
        return self.in_memory
