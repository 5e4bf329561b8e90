"""The bundle at work on onnxruntime. Imports neither torch nor onnx."""
