"""Tables and figures from tritbench result files (see results/SCHEMA.md)."""

__version__ = "0.1.0"
