# SPDX-License-Identifier: Apache-2.0
"""Compressed messages, which gRPC clients may send without asking (grpc/doc/compression.md)."""

import grpc
import pytest
from singleflight.v1 import singleflight_pb2 as pb

from support.callers import MIB
from support.daemon import sanitized

PATH = "/singleflight.v1.SingleFlight/Do"
FORMATS = pytest.mark.parametrize("format", [grpc.Compression.Gzip, grpc.Compression.Deflate])


def do_of_bytes(net, format):
    """The Do method, compressed, for messages that are bytes already."""
    channel = net.open_channel(options=[("grpc.default_compression_algorithm", int(format)),
                                        ("grpc.max_send_message_length", -1)])
    return channel.stream_stream(
        PATH, request_serializer=bytes, response_deserializer=pb.DoResponse.FromString)


@FORMATS
def test_a_compressed_message_is_read(net, format):
    """Section 2: a flight as any other; its messages come compressed."""
    value = b"abc" * 100_000
    join = pb.DoRequest(join=net.join_message())
    finish = pb.DoRequest(finish=pb.Finish(outcome=pb.Outcome(kind=pb.OUTCOME_KIND_OK, value=value)))
    messages = [join.SerializeToString(), finish.SerializeToString()]
    answers = list(do_of_bytes(net, format)(iter(messages), timeout=60))
    assert [answer.WhichOneof("step") for answer in answers] == ["lead", "result"]


@FORMATS
def test_a_compressed_message_over_the_limit(net, format):
    """Section 5: one message 4 MiB. What is small on the wire and large in memory is refused before
    it is large in memory.
    """
    before = net.daemon.memory("VmHWM")
    with pytest.raises(grpc.RpcError) as caught:
        list(do_of_bytes(net, format)(iter([bytes(64 * MIB)]), timeout=60))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(4 * MIB) in caught.value.details()
    assert sanitized() or net.daemon.memory("VmHWM") - before < 32 * MIB
