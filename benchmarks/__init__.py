"""Figures of this machine, run by `make bench`; never part of the tests."""
