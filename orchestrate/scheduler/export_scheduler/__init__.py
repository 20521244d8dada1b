"""Runs the schedules of a Meltano project at their hours, on one machine."""
