"""Plan and run the jobs of a request, store their results, and make its table. Never imports torch."""
