"""From a compiled network to a bundle of ONNX graphs."""
