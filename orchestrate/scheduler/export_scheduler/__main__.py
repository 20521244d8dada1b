"""`python -m export_scheduler` is the command."""

from export_scheduler.cli import main

main()
