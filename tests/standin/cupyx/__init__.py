"""What CuPy keeps apart: SciPy's functions on its arrays."""
