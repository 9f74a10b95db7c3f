"""asv's suites; `impl` is the first parameter of each, so that the peers stand in one graph."""
