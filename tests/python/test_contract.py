"""Our .proto files describe the same wire contract as Triton's own Python client."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from tritonclient.grpc import model_config_pb2, service_pb2

PROTO_DIR = Path(__file__).resolve().parents[2] / "proto" / "proto"
FIELD_TYPES = descriptor_pb2.FieldDescriptorProto.Type
FIELD_LABELS = descriptor_pb2.FieldDescriptorProto.Label


def facts_of_enum(enum, scope):
    """Yields (what, its value) for every member of an enum."""
    name = f"{scope}.{enum.name}"
    yield f"enum {name}", None
    for member in enum.value:
        yield f"enum member {name}.{member.name}", member.number


def facts_of_message(message, scope):
    """Yields (what, how it is on the wire) for a message and all that is nested in it."""
    name = f"{scope}.{message.name}"
    yield f"message {name}", message.options.map_entry
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        yield f"field {name}.{field.name}", {
            "number": field.number,
            "type": field.type_name or FIELD_TYPES.Name(field.type),
            "label": FIELD_LABELS.Name(field.label),
            "oneof": oneof,
            "presence": field.proto3_optional,
            "packed": field.options.packed if field.options.HasField("packed") else None,
        }
    for enum in message.enum_type:
        yield from facts_of_enum(enum, name)
    for nested in message.nested_type:
        yield from facts_of_message(nested, name)


def facts_of_service(service, scope):
    """Yields (what, its signature) for every call of a service."""
    name = f"{scope}.{service.name}"
    yield f"service {name}", None
    for call in service.method:
        yield f"call {name}.{call.name}", {
            "request": call.input_type,
            "response": call.output_type,
            "streams": (call.client_streaming, call.server_streaming),
        }


def facts(files):
    """All that matters on the wire in some FileDescriptorProtos, by what it is about."""
    found = {}
    for file in files:
        found[f"file {file.name}"] = (file.package, file.syntax, list(file.dependency))
        scope = f".{file.package}"
        for enum in file.enum_type:
            found.update(facts_of_enum(enum, scope))
        for message in file.message_type:
            found.update(facts_of_message(message, scope))
        for service in file.service:
            found.update(facts_of_service(service, scope))
    return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    output = tmp_path_factory.mktemp("contract") / "contract.binpb"
    sources = [path.name for path in sorted(PROTO_DIR.glob("*.proto"))]
    status = protoc.main(["protoc", f"-I{PROTO_DIR}", f"--descriptor_set_out={output}", *sources])
    assert status == 0, "protoc refuses our .proto files"
    return facts(descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file)


@pytest.fixture(scope="module")
def tritons():
    files = []
    for module in (model_config_pb2, service_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return facts(files)


def test_tritons_contract_is_read_whole(tritons):
    assert sum(what.startswith("call ") for what in tritons) == 20
    assert "field .inference.ModelConfig.max_batch_size" in tritons
    assert "enum member .inference.DataType.TYPE_BF16" in tritons


def test_all_of_tritons_contract_is_in_ours_unchanged(ours, tritons):
    different = [
        f"{what}: ours {ours.get(what, 'missing')}, Triton's {fact}"
        for what, fact in tritons.items()
        if ours.get(what, "missing") != fact
    ]
    assert not different, "\n".join(different)


def test_ours_adds_nothing(ours, tritons):
    assert sorted(ours.keys() - tritons.keys()) == []
