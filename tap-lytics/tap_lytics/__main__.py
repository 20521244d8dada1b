"""`python -m tap_lytics`."""

from tap_lytics.tap import TapLytics

TapLytics.cli()
