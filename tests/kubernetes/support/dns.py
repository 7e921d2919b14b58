# SPDX-License-Identifier: Apache-2.0
"""The names of Services, for pods and for what runs on the node: the part of CoreDNS that our callers
need. It answers A queries for NAME.NAMESPACE.svc.cluster.local, and asks the API server each time."""

import socketserver
import struct
import threading

from . import node

DOMAIN = "svc.cluster.local"
TYPE_A = 1
NAME_ERROR = 3
TIME_TO_LIVE = 1


def question_of(message):
    """The name that is asked for, its type, and where the question ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii"))
        at += 1 + message[at]
    return ".".join(labels).lower(), struct.unpack_from(">H", message, at + 1)[0], at + 5


def answer_of(message, addresses):
    """`addresses`: of the name, None when there is no such name, and [] for another type than A."""
    name, kind, end = question_of(message)
    found = addresses(name)
    listed = found if found and kind == TYPE_A else []
    # It is an answer, with authority; and whether recursion was desired is as it came.
    flags = 0x8400 | struct.unpack_from(">H", message, 2)[0] & 0x0100
    flags |= NAME_ERROR if found is None else 0
    head = message[:2] + struct.pack(">HHHHH", flags, 1, len(listed), 0, 0)
    records = b"".join(
        struct.pack(">HHHLH", 0xC00C, TYPE_A, 1, TIME_TO_LIVE, 4) + bytes(map(int, one.split(".")))
        for one in listed)
    return head + message[12:end] + records


class Dns:
    """`ask(path)`: an object of the API server, or None."""

    def __init__(self, ask):
        self.ask = ask
        addresses = self.addresses

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                message, socket = self.request
                try:
                    answer = answer_of(message, addresses)
                except (IndexError, struct.error, UnicodeDecodeError):
                    return  # no question
                socket.sendto(answer, self.client_address)

        self.server = socketserver.ThreadingUDPServer((node.ADDRESS, 53), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def addresses(self, name):
        if not name.endswith("." + DOMAIN):
            return None
        parts = name.removesuffix("." + DOMAIN).split(".")
        if len(parts) != 2:
            return None
        service, space = parts
        found = self.ask(f"/api/v1/namespaces/{space}/services/{service}")
        if found is None:
            return None
        address = found["spec"].get("clusterIP")
        return [address] if address != "None" else self.endpoints(space, service)

    def endpoints(self, space, service):
        """Of a Service without an address of its own: its pods."""
        slices = self.ask(f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
                          f"?labelSelector=kubernetes.io/service-name%3D{service}")
        return [address for one in slices["items"] for endpoint in one["endpoints"] or []
                if endpoint["conditions"].get("ready") for address in endpoint["addresses"]]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def service_objects():
    """What pods find the server by: a Service whose endpoint is the node."""
    name = {"name": "kube-dns", "namespace": "kube-system"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": {
            "clusterIP": node.DNS, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
         "metadata": name | {"labels": {"kubernetes.io/service-name": "kube-dns"}},
         "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}],
         "endpoints": [{"addresses": [node.ADDRESS], "conditions": {"ready": True}}]},
    ]
