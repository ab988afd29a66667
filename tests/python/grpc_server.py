"""A model server for gRPC, with the service that tritonclient is made for.

Usage: grpc_server.py
Prints `port N` once it listens on 127.0.0.1:N. A streaming call answers each
request with three responses, 20 ms apart. By its id, a request gets otherwise:
`wait` one, and then nothing until the caller is gone; `late` the header at once,
and the responses after 1.5 s; `fail` one, and then an error.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=True)

    def ModelMetadata(self, request, context):
        return pb.ModelMetadataResponse(name=request.name, versions=["1"], platform="test")

    def ModelInfer(self, request, context):
        if request.id == "bad":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a bad request")
        return pb.ModelInferResponse(model_name=request.model_name, id=request.id)

    def ModelStreamInfer(self, requests, context):
        for request in requests:
            if request.id == "late":
                context.send_initial_metadata(())
                time.sleep(1.5)
            for number in range(3):
                response = pb.ModelInferResponse(model_name=request.model_name, id=f"{request.id}.{number}")
                yield pb.ModelStreamInferResponse(infer_response=response)
                if request.id == "fail":
                    context.abort(grpc.StatusCode.INTERNAL, "the origin is out of memory")
                while request.id == "wait" and context.is_active():
                    time.sleep(0.005)
                time.sleep(0.02)


server = grpc.server(ThreadPoolExecutor(16))
service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print("port", port, flush=True)
server.wait_for_termination()
