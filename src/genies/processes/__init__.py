"""Processes of a machine: how a job's process is started, supervised and ended, and which hardware it sees."""
