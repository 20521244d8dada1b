"""A local Lytics API and SFTP server with invented people, for the demo and the tests."""

from sandbox.faults import Faults
from sandbox.sandbox import Sandbox

__all__ = ["Faults", "Sandbox"]
