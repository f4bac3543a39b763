"""Nothing that a client sends crashes the daemon or is answered wrongly; every refusal has a reason."""

import random
import socket
import zlib
from urllib.parse import unquote

import grpc
import h2.config
import h2.connection
import h2.events
import numpy as np
import pytest
from tritonclient.grpc import service_pb2
from wire import byte_elements, fault, request, simple

INFER = "/inference.GRPCInferenceService/ModelInfer"
MUTATIONS = 10_000
IN_FLIGHT = 64


@pytest.fixture
def raw_call(zoo):
    """ModelInfer with requests and responses as bytes."""
    with grpc.insecure_channel(zoo.url) as channel:
        yield channel.unary_unary(INFER)


def assert_answers(stub):
    """A valid request gets the right answer."""
    answer = stub.ModelInfer(simple())
    np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), np.arange(1, 17))


@pytest.mark.parametrize("model", ["free", "free_strings", "identity_fp32", "simple"])
@pytest.mark.parametrize(
    "shape",
    [
        [2**32 + 1, 64],
        [1, 2**62],
        [2**62, 4],
        [2**63 - 1, 2**63 - 1],
        [2**31, 2**31],
        [-1, 16],
        [1, -16],
        [-(2**63), 16],
        [1] * 1000,
    ],
    ids=str,
)
def test_a_shape_that_overflows_or_is_negative_is_refused(stub, model, shape):
    dtype = "BYTES" if model == "free_strings" else "FP32"
    tensors = [("INPUT0", dtype, shape)]
    if model == "simple":
        tensors.append(("INPUT1", dtype, shape))
    code, text = fault(stub.ModelInfer, request(model, *tensors, raw=[bytes(64)] * len(tensors)))
    assert code == "INVALID_ARGUMENT"
    assert text
    assert_answers(stub)


def test_a_batch_of_zero_is_refused(stub):
    tensors = [("INPUT0", "FP32", [0, 16]), ("INPUT1", "FP32", [0, 16])]
    code, text = fault(stub.ModelInfer, request("simple", *tensors, raw=[b"", b""]))
    assert code == "INVALID_ARGUMENT"
    assert text


def test_an_empty_tensor_is_served_where_there_is_no_batch(stub):
    answer = stub.ModelInfer(request("free", ("INPUT0", "FP32", [0, 3]), raw=[b""]))
    assert list(answer.outputs[0].shape) == [0, 3]
    assert list(answer.raw_output_contents) == [b""]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1",
        b"\1\0\0",
        b"\1\0\0\0",
        b"\4\0\0\0abc",
        b"\xff\xff\xff\xffabc",
        b"\xff\xff\xff\x7f",
        byte_elements(b"one") + b"\1\0",
        byte_elements(b"one") + b"\2\0\0\0x",
        byte_elements(b"one", b"two", b"three"),
    ],
    ids=repr,
)
def test_strings_that_do_not_add_up_are_refused(stub, data):
    code, text = fault(stub.ModelInfer, request("free_strings", ("INPUT0", "BYTES", [1, 2]), raw=[data]))
    assert code == "INVALID_ARGUMENT"
    assert text
    assert_answers(stub)


def compress(condition):
    """A request for those of the numbers from 0 on whose byte is true."""
    numbers = np.arange(len(condition), dtype=np.float32).tobytes()
    tensors = [("INPUT0", "FP32", [len(condition)]), ("CONDITION", "BOOL", [len(condition)])]
    return request("compress", *tensors, raw=[numbers, condition])


@pytest.mark.parametrize("byte", [2, 0x80, 0xFF])
@pytest.mark.parametrize("place", [0, 8, 99])
def test_a_bool_that_is_neither_0_nor_1_is_refused(stub, byte, place):
    condition = bytearray([0, 1] * 50)
    condition[place] = byte
    code, text = fault(stub.ModelInfer, compress(bytes(condition)))
    assert code == "INVALID_ARGUMENT"
    assert text.endswith(f"'CONDITION' for model 'compress' has the byte {byte} at {place}, but a BOOL is 0 or 1")


def test_bools_of_0_and_1_are_what_they_say(stub):
    answer = stub.ModelInfer(compress(bytes([0, 1] * 50)))
    np.testing.assert_array_equal(np.frombuffer(answer.raw_output_contents[0], np.float32), np.arange(1, 100, 2))


def test_more_strings_than_an_engine_takes_are_refused(stub):
    count = 4 * 2**20 + 1
    message = request("free_strings", ("INPUT0", "BYTES", [count, 1]), raw=[bytes(4 * count)])
    code, text = fault(stub.ModelInfer, message)
    assert code == "INVALID_ARGUMENT"
    assert "at most 4194304" in text
    assert_answers(stub)


@pytest.mark.parametrize("dtype", ["", "FP31", "fp32", "TYPE_FP32", "BYTES", "FP64", "\0", "x" * 10_000], ids=repr)
def test_a_dtype_that_is_none_or_another_is_refused(stub, dtype):
    code, text = fault(stub.ModelInfer, request("free", ("INPUT0", dtype, [1, 2]), raw=[bytes(8)]))
    assert code == "INVALID_ARGUMENT"
    assert text


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b"\xff" * 100,
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a\x05ab",
        b"\x0a\x02\xff\xfe",
        b"\x07",
        bytes(50),
        b"\x2a\x02\x0a\x7f",
    ],
    ids=repr,
)
def test_malformed_protobuf_is_refused_with_a_reason(raw_call, stub, data):
    _, text = fault(raw_call, data)
    assert text
    assert_answers(stub)


def test_a_message_over_the_limit_is_refused_without_reserving_its_size(zoo, stub):
    before = reserved(zoo)
    with Bare(zoo.grpc_port) as connection:
        headers = connection.answer(connection.send(INFER, announcement(2**32 - 1) + bytes(1000)))
    assert headers["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert unquote(headers["grpc-message"]) == "Received message larger than max (4294967295 vs. 2147483647)"
    assert reserved(zoo) < before + 1024
    assert_answers(stub)


SERVICE = "/inference.GRPCInferenceService/"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


@pytest.mark.parametrize("encoding", [None, "gzip"])
@pytest.mark.parametrize("path", [INFER, SERVICE + "ServerLive", "/grpc.health.v1.Health/Check", REFLECTION])
def test_what_is_only_announced_reserves_no_memory(zoo, stub, path, encoding):
    before = reserved(zoo)
    with Bare(zoo.grpc_port) as connection:
        for _ in range(50):
            connection.send(path, announcement(2**31 - 1, encoding), encoding, end=False)
        live = connection.send(SERVICE + "ServerLive", announcement(0))
        assert connection.answer(live)["grpc-status"] == "0"
        assert_answers(stub)
        assert reserved(zoo) < before + 4096


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_message_that_inflates_beyond_the_limit_is_refused(zoo, stub, encoding):
    compressor = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    bomb = compressor.compress(bytes(64 << 20)) + compressor.flush()
    with Bare(zoo.grpc_port) as connection:
        call = connection.send(SERVICE + "ServerLive", announcement(len(bomb), encoding) + bomb, encoding)
        assert connection.answer(call)["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
    assert_answers(stub)


def announcement(length, encoding=None):
    """The prefix of a message of that length."""
    return bytes([encoding is not None]) + length.to_bytes(4, "big")


def reserved(daemon):
    """The daemon's address space in MiB: unlike its memory, it grows with what is reserved and not touched."""
    with open(f"/proc/{daemon.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmSize")) // 1024


class Bare:
    """A connection whose calls send what they like."""

    def __init__(self, port):
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.headers, self.ended = {}, set()
        # The server's settings, which say how many calls there may be.
        self.stream.sendall(self.http.data_to_send())
        self.receive()

    def send(self, path, data, encoding=None, end=True):
        """Begins a call, and ends its request unless told not to; gives back its number."""
        call = self.http.get_next_available_stream_id()
        head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]
        more = [("grpc-encoding", encoding)] if encoding else []
        self.http.send_headers(call, [*head, ("content-type", "application/grpc"), ("te", "trailers"), *more])
        self.http.send_data(call, data, end_stream=end)
        self.stream.sendall(self.http.data_to_send())
        return call

    def answer(self, call):
        """All headers and trailers of a call's answer, once it has ended."""
        while call not in self.ended:
            self.receive()
        return self.headers[call]

    def receive(self):
        received = self.stream.recv(65536)
        assert received, f"the connection was closed after {self.headers}"
        for event in self.http.receive_data(received):
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                self.headers.setdefault(event.stream_id, {}).update(event.headers)
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended.add(event.stream_id)
        self.stream.sendall(self.http.data_to_send())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()


def typed_request():
    """A valid request with typed contents."""
    message = service_pb2.ModelInferRequest(model_name="simple", id="typed")
    for name in ("INPUT0", "INPUT1"):
        message.inputs.add(name=name, datatype="FP32", shape=[1, 16]).contents.fp32_contents.extend(range(16))
    return message


def string_request():
    """A valid request of strings."""
    elements = byte_elements(b"", b"plain", b"\xff\0", b"long" * 20)
    return request("free_strings", ("INPUT0", "BYTES", [2, 2]), raw=[elements], request_id="strings")


def mutate(data, source):
    """Some random damage."""
    data = bytearray(data)
    for _ in range(source.choice([1, 1, 1, 2, 4])):
        at = source.randrange(len(data)) if data else 0
        end = min(len(data), at + source.randrange(1, 9))
        kind = source.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << source.randrange(8)
        elif kind == 1 and data:
            data[at] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = source.randbytes(source.randrange(1, 9))
        elif kind == 4:
            data[at:at] = data[at:end]
        else:
            del data[at:]
    return bytes(data)


def expected(message):
    """The outputs of a request for `simple` or `free_strings`, from its contents."""
    if message.model_name == "free_strings":
        tensor = message.inputs[0]
        typed = byte_elements(*tensor.contents.bytes_contents)
        return {"OUTPUT0": message.raw_input_contents[0] if message.raw_input_contents else typed}
    raw = iter(message.raw_input_contents)
    values = {}
    for tensor in message.inputs:
        typed = np.array(tensor.contents.fp32_contents, np.float32)
        values[tensor.name] = np.frombuffer(next(raw), np.float32) if message.raw_input_contents else typed
    with np.errstate(all="ignore"):
        first, second = values["INPUT0"], values["INPUT1"]
        return {"OUTPUT0": first + second, "OUTPUT1": first - second}


def assert_right(sent, received):
    """The answer is the right one for the request as it was mutated."""
    asked = service_pb2.ModelInferRequest.FromString(sent)
    answer = service_pb2.ModelInferResponse.FromString(received)
    wanted = expected(asked)
    assert answer.id == asked.id
    for output, data in zip(answer.outputs, answer.raw_output_contents, strict=True):
        if isinstance(wanted[output.name], bytes):
            assert data == wanted[output.name]
        else:
            np.testing.assert_array_equal(np.frombuffer(data, np.float32), wanted[output.name])


def test_ten_thousand_mutated_requests_are_answered_rightly_or_refused_with_a_reason(zoo, raw_call, stub):
    source = random.Random(20_240_229)
    seeds = [
        message.SerializeToString() for message in (simple(rows=2, request_id="raw"), typed_request(), string_request())
    ]
    right = refused = 0
    for start in range(0, MUTATIONS, IN_FLIGHT):
        sent = [mutate(source.choice(seeds), source) for _ in range(min(IN_FLIGHT, MUTATIONS - start))]
        calls = [raw_call.future(data, timeout=30) for data in sent]
        for data, call in zip(sent, calls):
            error = call.exception()
            if error is None:
                assert_right(data, call.result())
                right += 1
            else:
                assert error.details(), f"{error.code()} without a reason for {data!r}"
                assert error.code().name not in ("UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"), error
                refused += 1
        assert_answers(stub)
    assert zoo.process.poll() is None
    assert right > 100 and refused > 5000, (right, refused)
