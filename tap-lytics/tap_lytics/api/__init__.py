"""The Lytics API as plain Python: requests, audiences, schema and scans; no Singer in here."""
