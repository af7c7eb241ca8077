"""One module a DVC stage: read params, call the library, write the declared outs."""
