# SPDX-License-Identifier: Apache-2.0
"""Section 2: grpc.health.v1.Health and grpc.reflection, v1 and v1alpha, with no file in hand."""

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from singleflight.v1 import singleflight_pb2 as pb

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICES = {
    "singleflight.v1.SingleFlight",
    "singleflight.v1.Admin",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])
Ask = reflection_pb2.ServerReflectionRequest


def check(net, service):
    stub = health_pb2_grpc.HealthStub(net.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status


@pytest.mark.parametrize("service", ["", "singleflight.v1.SingleFlight"])
def test_check_says_serving(net, service):
    """grpc.health.v1: the server as a whole, and its service by name."""
    assert check(net, service) == SERVING


def test_check_of_an_unknown_service_is_not_found(net):
    """grpc.health.v1: Check of a service that is not known is NOT_FOUND."""
    with pytest.raises(grpc.RpcError) as error:
        check(net, "no.such.Service")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "service, wanted",
    [
        ("", SERVING),
        ("singleflight.v1.SingleFlight", SERVING),
        ("no.such.Service", SERVICE_UNKNOWN),
    ],
)
def test_watch_says_the_status_at_once_and_stays_open(net, service, wanted):
    """grpc.health.v1: Watch sends the status now; an unknown service is SERVICE_UNKNOWN and the
    stream goes on.
    """
    stub = health_pb2_grpc.HealthStub(net.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)
    assert next(watch).status == wanted
    assert watch.is_active()
    watch.cancel()


def ask(net, version, *requests):
    """Asks over one reflection stream; v1 and v1alpha have the same messages on the wire."""
    call = net.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=Ask.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return list(call(iter(requests), timeout=10))


def files_of(response):
    return {
        proto.name: proto
        for proto in map(
            descriptor_pb2.FileDescriptorProto.FromString,
            response.file_descriptor_response.file_descriptor_proto,
        )
    }


@VERSIONS
def test_reflection_lists_all_services(net, version):
    """ServerReflection: list_services."""
    (answer,) = ask(net, version, Ask(list_services="*", host="h"))
    assert {s.name for s in answer.list_services_response.service} == SERVICES
    assert answer.original_request.list_services == "*" and answer.original_request.host == "h"
    assert answer.valid_host == "h"


@VERSIONS
@pytest.mark.parametrize("service", sorted(SERVICES))
def test_reflection_describes_every_service(net, version, service):
    """ServerReflection: file_containing_symbol of a service; the file makes a pool that builds."""
    (answer,) = ask(net, version, Ask(file_containing_symbol=service))
    pool = descriptor_pool.DescriptorPool()
    for proto in files_of(answer).values():
        pool.Add(proto)
    assert pool.FindServiceByName(service).methods


@VERSIONS
@pytest.mark.parametrize(
    "symbol",
    [
        "singleflight.v1.Join",
        "singleflight.v1.Flight.State",
        "singleflight.v1.SingleFlight.Do",
        "singleflight.v1.Role",
        "singleflight.v1.Join.key",
    ],
)
def test_reflection_finds_symbols_of_all_kinds(net, version, symbol):
    """ServerReflection: a fully qualified symbol: message, nested enum, method, enum, field."""
    (answer,) = ask(net, version, Ask(file_containing_symbol=symbol))
    assert "singleflight/v1/singleflight.proto" in files_of(answer)


@VERSIONS
def test_reflection_serves_the_very_contract(net, version):
    """What is served is what the proto file says, to the last field."""
    (answer,) = ask(net, version, Ask(file_by_filename="singleflight/v1/singleflight.proto"))
    served = files_of(answer)["singleflight/v1/singleflight.proto"]
    ours = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(ours)
    strip = lambda file: [file.message_type, file.enum_type, file.service]
    for mine, theirs in zip(strip(ours), strip(served)):
        assert {m.name for m in mine} == {m.name for m in theirs}
    for mine in ours.message_type:
        theirs = next(m for m in served.message_type if m.name == mine.name)
        assert [(f.name, f.number, f.type) for f in mine.field] == [
            (f.name, f.number, f.type) for f in theirs.field
        ]


@VERSIONS
def test_reflection_says_what_it_does_not_know(net, version):
    """ServerReflection: an error_response NOT_FOUND; the stream goes on and answers in order."""
    answers = ask(
        net,
        version,
        Ask(file_by_filename="no/such.proto"),
        Ask(file_containing_symbol="no.Such"),
        Ask(file_containing_symbol="singleflight.v1.Joi"),
        Ask(
            file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="singleflight.v1.Join", extension_number=1
            )
        ),
        Ask(list_services=""),
    )
    assert len(answers) == 5
    for answer in answers[:4]:
        assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
        assert answer.error_response.error_message
    assert answers[4].list_services_response.service


@VERSIONS
def test_reflection_knows_that_there_are_no_extensions(net, version):
    """ServerReflection: all_extension_numbers_of_type: none for a type, NOT_FOUND for what
    is none.
    """
    known, unknown = ask(
        net,
        version,
        Ask(all_extension_numbers_of_type="singleflight.v1.Join"),
        Ask(all_extension_numbers_of_type="no.Such"),
    )
    assert known.all_extension_numbers_response.base_type_name == "singleflight.v1.Join"
    assert not known.all_extension_numbers_response.extension_number
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@VERSIONS
def test_reflection_answers_an_empty_request(net, version):
    """ServerReflection: a request that asks for nothing is INVALID_ARGUMENT, as an answer or as the
    status.
    """
    try:
        (answer,) = ask(net, version, Ask())
        code = answer.error_response.error_code
    except grpc.RpcError as error:
        code = error.code().value[0]
    assert code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def test_a_client_with_no_file_in_hand_calls_everything(net):
    """Section 2: so that grpcurl, ghz and Postman work with no file in hand."""
    from google.protobuf import message_factory

    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(net.channel))
    service = pool.FindServiceByName("singleflight.v1.Admin")
    method = service.FindMethodByName("GetStats")
    request = message_factory.GetMessageClass(method.input_type)(group=net.group)
    stats = message_factory.GetMessageClass(method.output_type)
    answer = net.channel.unary_unary(
        "/singleflight.v1.Admin/GetStats",
        request_serializer=lambda m: m.SerializeToString(),
        response_deserializer=stats.FromString,
    )(request, timeout=10)
    assert answer.uptime_ms > 0
