"""A generalization card: what a scorer of responses prefers on every installed target, as answers to questions."""
