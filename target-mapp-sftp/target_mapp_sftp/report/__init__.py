"""The page about one run: what came, what was delivered, what was left out and why.

No Singer, no SSH and no CSV in here: it gets facts and makes one HTML file of them that needs
nothing else, neither a script nor a network. Rooms: `facts`, what is told; `markup`, elements that
escape what is put into them; `page`, `audience` and `trend`, the page and its parts; `words`,
numbers for people; `folder`, where it is written.
"""

from target_mapp_sftp.report.facts import (
    Delivery,
    Failure,
    RunFacts,
    SentFile,
    Status,
    StreamFacts,
)
from target_mapp_sftp.report.folder import write_page
from target_mapp_sftp.report.page import page

__all__ = [
    "Delivery",
    "Failure",
    "RunFacts",
    "SentFile",
    "Status",
    "StreamFacts",
    "page",
    "write_page",
]
