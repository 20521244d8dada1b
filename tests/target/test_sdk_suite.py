"""The Singer SDK's own suite for targets, all of its tests but one."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from typing import Any

from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.suites import SingerTestSuite, target_tests

from target_mapp_sftp.target import TargetMappSftp

# Which field the stream of a test has, where it is not `id`: a map names fields that are there.
FIELDS = {
    "camelcase": "Id",
    "camelcase_complex_schema": "Id",
    "schema_no_properties": "object_store",
    "special_chars_in_attributes": "_id",
}
# A contact is judged by its identifier: a record without its key is no reason to lose everybody.
# A record before its schema ends the reading with an error of this target, which names the line.
# See test_publishing.py.
LEFT_OUT = {"record_missing_key_property", "record_before_schema"}


def suite_for(field: str) -> type[Any]:
    """The tests whose streams have *field*."""
    # The suite wants its settings before any test, so no fixture can give the folder.
    folder = tempfile.mkdtemp(prefix="target-mapp-sftp-suite-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tests = [
        test
        for test in target_tests.tests
        if FIELDS.get(test.name, "id") == field and test.name not in LEFT_OUT
    ]
    return get_target_test_class(
        TargetMappSftp,
        config={
            "output_dir": folder,
            "field_map": {field: "user.Identifier"},
            "identifier": field,
            "invalid_records": "keep",
        },
        custom_suites=[SingerTestSuite(kind="target", tests=tests)],
        include_target_tests=False,
    )


TestStreamsWithId = suite_for("id")
TestStreamsWithCapitalId = suite_for("Id")
TestStreamsWithUnderscoreId = suite_for("_id")
TestStreamsWithAnObject = suite_for("object_store")


def test_every_test_of_the_suite_is_known() -> None:
    """A new version of the SDK may bring new tests, or drop one that is left out."""
    assert LEFT_OUT | FIELDS.keys() <= {test.name for test in target_tests.tests}
