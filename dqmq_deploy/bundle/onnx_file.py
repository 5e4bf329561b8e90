"""What a reader must know of an ONNX file before it lets a runtime load it, without onnx.

An ONNX file is a protobuf message: fields of ``(number << 3 | wire type)`` followed by a varint, 4 or 8 bytes, or a
length and that many bytes. Only the messages on the way to a node's domain or to external data are entered:

    ModelProto ── opset_import (8) ── OperatorSetId.domain (1)
      ├── graph (7), functions (25)
      │     └── node ── domain (7), attribute (5) ── g (6), graphs (11), t (5), tensors (10), sparse (22, 23)
      └── graph ── initializer (5), sparse_initializer (15) ── external_data (13), data_location (14)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_DEPTH = 32
"""Messages nested deeper than this are refused; a subgraph takes three levels, and ours lie two deep."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# the fields to enter, per message: {field number: message}
_ENTER = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
}
_DOMAIN_FIELD = {"opset": 1, "node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION, _EXTERNAL = 13, 14, 1


@dataclass(frozen=True)
class ExternalData:
    """A tensor's bytes outside the file: ``length`` bytes (to the end if None) of ``location`` from ``offset`` on."""

    location: str
    offset: int = 0
    length: int | None = None


@dataclass
class OnnxFacts:
    """Operator domains and external data of an ONNX file, those of functions and subgraphs included."""

    domains: set[str] = field(default_factory=set)
    external: list[ExternalData] = field(default_factory=list)
    has_graph: bool = False


def read_facts(data: bytes) -> OnnxFacts:
    """Walk the bytes of an ONNX file.

    Raises:
        ValueError: the bytes are no protobuf message, are cut off, hold no graph, or nest too deep.
    """
    facts = OnnxFacts()
    _walk(memoryview(data), "model", facts, 0)
    if not facts.has_graph:
        raise ValueError("it holds no graph")
    return facts


def read_nodes(data: bytes) -> list[tuple[str, str]]:
    """Name and operator of every node in the main graph of an ONNX file, in the file's order.

    A node without a name goes by that of its first output.

    Raises:
        ValueError: the bytes are no protobuf message, or are cut off.
    """
    nodes = []
    graphs = (value for number, value in _fields(memoryview(data)) if number == 7)
    for node in (value for graph in graphs for number, value in _fields(_bytes(graph)) if number == 1):
        texts = {2: "", 3: "", 4: ""}  # the first output, the name, the operator
        for number, value in _fields(_bytes(node)):
            if number in texts and not texts[number]:
                texts[number] = _text(value)
        nodes.append((texts[3] or texts[2], texts[4]))
    return nodes


def _walk(message: memoryview, kind: str, facts: OnnxFacts, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("its graphs nest too deep")
    if kind == "tensor":
        _walk_tensor(message, facts)
        return
    enter, domain_field = _ENTER.get(kind, {}), _DOMAIN_FIELD.get(kind)
    for number, value in _fields(message):
        if number == domain_field:
            facts.domains.add(_text(value))
        elif number in enter:
            facts.has_graph = facts.has_graph or (kind == "model" and number == 7)
            _walk(_bytes(value), enter[number], facts, depth + 1)


def _walk_tensor(message: memoryview, facts: OnnxFacts) -> None:
    entries: dict[str, str] = {}
    external = False
    for number, value in _fields(message):
        if number == _DATA_LOCATION:
            external = value == _EXTERNAL
        elif number == _EXTERNAL_DATA:
            external = True
            pair = {key: _text(part) for key, part in _fields(_bytes(value))}
            entries[pair.get(1, "")] = pair.get(2, "")
    if external:
        length = entries.get("length")
        facts.external.append(
            ExternalData(
                entries.get("location", ""),
                _number(entries.get("offset", "0")),
                None if length is None else _number(length),
            )
        )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _LENGTH:
            size, position = _varint(message, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"it has a field of unknown wire type {wire}")
        if size > end - position:
            raise ValueError("it is cut off in the middle of a field")
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("it is cut off in the middle of a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("it has a number of more than 64 bits")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("it has a number where a message should be")
    return value


def _text(value: int | memoryview) -> str:
    return _bytes(value).tobytes().decode()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"it has external data at '{text}', which is no offset")
    return int(text)
