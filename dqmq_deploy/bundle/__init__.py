"""The bundle: the directory that export writes and serve reads. Imports neither torch nor onnx."""
