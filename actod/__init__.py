"""The edge daemon that proves what a robot reported."""

__version__ = "0.1.0"
