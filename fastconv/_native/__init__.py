"""The compiled part: kernels in C++ and the glue that hands them NumPy arrays."""
