"""What was last delivered of each audience, to know what is new, changed, or gone.

No Singer, no SSH and no values in here: a contact is the digest of an identifier and the digest of
a row; the identifier itself is kept only where removals are on.
"""

from target_mapp_sftp.snapshot.files import holding_last_delivery
from target_mapp_sftp.snapshot.snapshot import Snapshot, SnapshotTerms
from target_mapp_sftp.snapshot.store import Reference

__all__ = [
    "Reference",
    "Snapshot",
    "SnapshotTerms",
    "holding_last_delivery",
]
