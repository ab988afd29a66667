"""tritonclient[http] against the iris model on MLServer, through the proxy.

Usage: mlserver_client.py HOST:PORT
Exits with status 0 if every answer was right.
"""

import sys

import numpy as np
import tritonclient.http as triton


def main(address):
    # The first request waits until MLServer is up: it is held, not refused.
    client = triton.InferenceServerClient(address, connection_timeout=120, network_timeout=120)
    for flower, species in (([5.1, 3.5, 1.4, 0.2], 0), ([6.7, 3.0, 5.2, 2.3], 2)):
        tensor = triton.InferInput("flower", [1, 4], "FP64")
        tensor.set_data_from_numpy(np.array([flower]), binary_data=False)
        result = client.infer("iris", [tensor], outputs=[triton.InferRequestedOutput("predict", binary_data=False)])
        assert result.as_numpy("predict").flatten()[0] == species, result.get_response()
    metadata = client.get_model_metadata("iris")
    assert metadata["name"] == "iris", metadata


main(*sys.argv[1:])
