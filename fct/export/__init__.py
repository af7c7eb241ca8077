"""The stage `export`: writes a trained network as one ONNX file."""
