"""The contact file Mapp reads: which columns, which values, which rows.

No Singer SDK and no SSH in here. Modules: what is asked for (`settings`, `field_map`, `lint`),
Mapp's rules (`attributes`), from a value to text (`columns`, `values`, `normalization`, `cells`,
`fast_path`, `row`), and the file (`file`, `seen`, `rejects`, `removals`, `parts`, `file_names`,
`guards`).
"""

from target_mapp_sftp.contact_file.file import ContactFile, FinishedFile
from target_mapp_sftp.contact_file.file_names import NamePattern, removals_template
from target_mapp_sftp.contact_file.guards import (
    Counts,
    PreviousDelivery,
    require_few_removed,
)
from target_mapp_sftp.contact_file.parts import FilePart
from target_mapp_sftp.contact_file.row import normal_form
from target_mapp_sftp.contact_file.settings import FileSettings
from target_mapp_sftp.errors import MappingError

__all__ = [
    "ContactFile",
    "Counts",
    "FilePart",
    "FileSettings",
    "FinishedFile",
    "MappingError",
    "NamePattern",
    "PreviousDelivery",
    "normal_form",
    "removals_template",
    "require_few_removed",
]
