"""The command line: one file for each command group; the only place that prints or exits."""
