"""Plan jobs, decide which must run, run them, and store their results. Never imports torch."""
