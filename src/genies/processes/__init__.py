"""Processes of a machine: how a job's process is started, supervised and ended, and which hardware it sees.

psutil could not replace this code. It lists the descendants that a process has at one moment, and a daemon whose parent
has ended is not among them. On Linux, a job's supervisor becomes the parent of such daemons (PR_SET_CHILD_SUBREAPER)
and kills them, and the kernel kills the job if its supervisor is killed (PR_SET_PDEATHSIG); psutil offers neither.
Importing psutil also takes 20 ms, about as long as the whole start of a supervisor, which loads only the standard
library.
"""
