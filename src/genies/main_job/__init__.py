"""The main job: its arguments, its table, its dry run and its messages. The harness plans and runs its jobs."""
