"""Trains a router network on a label set: `python3 -m r2r_trainer --help`."""
