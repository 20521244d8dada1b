"""Delivery of finished files to a folder, complete or not at all; no Singer and no CSV in here."""
