"""Import of preference data: rows are read one by one, split by prompt, and written as a distribution."""
