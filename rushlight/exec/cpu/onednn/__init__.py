"""oneDNN by its C API: the library, memory descriptors and primitives for the plan's native driver to call."""
