"""Speed, memory and precision of this package beside its peers, in one run: `python -m benchmarks`, or `make bench`."""
