"""Other implementations of the same work, each called as its authors call it; none is a part of this package."""
