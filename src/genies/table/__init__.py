"""The table of generalization metrics: its columns, its files and what its numbers cannot mean."""
