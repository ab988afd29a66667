"""grpcio's own clients of health and reflection, through the proxy.

Usage: grpc_health_client.py HOST:PORT check SERVICE STATUS [MODEL]
           one Check, with MODEL in the metadata, of which STATUS is expected
       grpc_health_client.py HOST:PORT watch SERVICE
           prints each status as it changes
       grpc_health_client.py HOST:PORT reflect
           lists services, reads their descriptors
Exits with status 0 if every answer was right.
"""

import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

OFFERED = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
}


def check(channel, service, expected, model=None):
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    metadata = model and [("seldon-model", model)]
    try:
        answer = stub.Check(request, timeout=10, metadata=metadata)
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    except grpc.RpcError as error:
        status = error.code().name
    assert status == expected, status


def watch(channel, service):
    stub = health_pb2_grpc.HealthStub(channel)
    for answer in stub.Watch(health_pb2.HealthCheckRequest(service=service)):
        print(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status), flush=True)
    print("end", flush=True)


def reflect(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    found = set(database.get_services())
    assert found == OFFERED - {"grpc.reflection.v1.ServerReflection"}, found
    pool = DescriptorPool(database)
    infer = pool.FindServiceByName("inference.GRPCInferenceService").FindMethodByName("ModelInfer")
    assert infer.input_type.fields_by_name["model_name"].number == 1
    watch = pool.FindServiceByName("grpc.health.v1.Health").FindMethodByName("Watch")
    assert watch.output_type.full_name == "grpc.health.v1.HealthCheckResponse"
    # The same by the other version, whose messages are the same but for their package.
    call = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.ModelInferRequest"),
    ]
    answers = list(call(iter(asked), timeout=10))
    found = {service.name for service in answers[0].list_services_response.service}
    assert found == OFFERED - {"grpc.reflection.v1alpha.ServerReflection"}, found
    assert len(answers[1].file_descriptor_response.file_descriptor_proto) == 1
    unknown = [reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.Such")]
    try:
        list(call(iter(unknown), timeout=10))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
    else:
        raise AssertionError("an unknown symbol was found")


if __name__ == "__main__":
    address, what, *rest = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        {"check": check, "watch": watch, "reflect": reflect}[what](channel, *rest)
