"""ONNX's own test cases, run through ONNX Runtime directly and through Nerite, and compared bit for bit."""
