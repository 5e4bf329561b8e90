"""The reader's own look into ONNX files sees what onnx sees, and gives up on what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper

from dqmq_deploy.bundle.onnx_file import ExternalData, read_facts, read_nodes


def model(*nodes: NodeProto, domains: tuple[str, ...] = ()) -> ModelProto:
    """A model of these nodes."""
    graph = helper.make_graph(list(nodes), "g", [], [])
    made: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid(name, 1) for name in ("", *domains)])
    return made


def external(name: str, **entries: str) -> TensorProto:
    """A tensor whose data lie outside."""
    tensor = TensorProto(name=name, data_type=TensorProto.UINT8, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def branch(*nodes: NodeProto) -> NodeProto:
    """A node with these nodes in a subgraph."""
    return helper.make_node("If", ["c"], ["y"], then_branch=helper.make_graph(list(nodes), "inner", [], []))


def test_domains_of_nodes_functions_and_imports() -> None:
    """A domain is seen wherever it stands."""
    found = model(helper.make_node("A", [], [], domain="of.node"), domains=("of.import",))
    body = [helper.make_node("B", [], ["y"], domain="of.body")]
    opsets = [helper.make_opsetid("of.function.import", 1)]
    found.functions.append(helper.make_function("of.function", "F", [], ["y"], body, opsets))
    assert read_facts(found.SerializeToString()).domains == {
        "",
        "of.node",
        "of.import",
        "of.body",
        "of.function",
        "of.function.import",
    }


def test_domain_in_a_nested_subgraph() -> None:
    """Hiding a node two graphs deep does not help."""
    deep = branch(branch(helper.make_node("A", [], [], domain="hidden")))
    assert "hidden" in read_facts(model(deep).SerializeToString()).domains


def test_external_data_in_initializers_attributes_and_subgraphs() -> None:
    """Every reference is seen, with its offset and length."""
    found = model(helper.make_node("Constant", [], ["y"], value=external("a", location="a.bin", length="4")))
    found.graph.initializer.append(external("b", location="b.bin", offset="64", length="4"))
    inner = helper.make_graph([], "inner", [], [], [external("c", location="c.bin")])
    found.graph.node.append(helper.make_node("If", ["c"], ["z"], then_branch=inner))
    assert sorted(read_facts(found.SerializeToString()).external, key=lambda entry: entry.location) == [
        ExternalData("a.bin", 0, 4),
        ExternalData("b.bin", 64, 4),
        ExternalData("c.bin", 0, None),
    ]


def test_external_data_at_no_number() -> None:
    """An offset that is no number is refused."""
    found = model()
    found.graph.initializer.append(external("b", location="b.bin", offset="-1"))
    with pytest.raises(ValueError, match="'-1', which is no offset"):
        read_facts(found.SerializeToString())


def test_graphs_without_end() -> None:
    """Depth is bounded before Python's own limit is."""
    node = helper.make_node("A", [], [])
    for _ in range(15):
        node = branch(node)
    with pytest.raises(ValueError, match="nest too deep"):
        read_facts(model(node).SerializeToString())


def test_nodes_by_name_and_operator() -> None:
    """Nodes come in file order; one without a name goes by its first output."""
    found = model(helper.make_node("A", [], ["x"], name="first"), helper.make_node("B", ["x"], ["y"]))
    assert read_nodes(found.SerializeToString()) == [("first", "A"), ("y", "B")]


def test_a_file_without_a_graph() -> None:
    """Nothing is not a graph."""
    with pytest.raises(ValueError, match="holds no graph"):
        read_facts(b"")


def test_every_truncation_is_noticed_or_harmless() -> None:
    """A file cut anywhere raises ValueError or still reads; it never raises anything else."""
    data = model(branch(helper.make_node("A", [], ["y"], domain="x"))).SerializeToString()
    for length in range(len(data)):
        try:
            read_facts(data[:length])
        except ValueError:
            continue


@given(st.binary(max_size=200))
def test_noise_never_does_worse_than_value_error(data: bytes) -> None:
    """Random bytes are refused with the one error that is promised."""
    try:
        read_facts(data)
    except ValueError:
        return
