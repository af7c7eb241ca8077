"""The ONNX file that leaves the pipeline."""
