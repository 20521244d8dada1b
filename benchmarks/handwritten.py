"""The floor: what somebody would write in an afternoon, once, for one audience.

One connection, the fastest JSON library, `csv`, `put`. It repeats no request, checks no value,
finds no duplicate, compares nothing, and has its columns built in. Addresses and keys come from the
variables by which the tap and the target are told theirs.
"""

import csv
import http.client
import os
import sys
from urllib.parse import urlsplit

import msgspec
import paramiko

FIELDS = (
    "email,first_name,last_name,zip,country,language,birthday,loyalty_tier,last_visit_ts,scores"
)
HEADERS = (
    "user.Email", "user.FirstName", "user.LastName", "user.ZipCode", "user.ISOCountryCode",
    "user.ISOLanguageCode", "user.DateOfBirth", "user.CustomAttribute.LoyaltyTier",
    "user.CustomAttribute.LastVisit", "user.CustomAttribute.Momentum",
    "user.CustomAttribute.SegmentMembership",
)  # fmt: skip

address = urlsplit(os.environ["TAP_LYTICS_API_URL"])
connection = http.client.HTTPConnection(str(address.hostname), address.port)
headers = {"Authorization": os.environ["TAP_LYTICS_API_TOKEN"]}
first = f"/api/segment/all_contacts/scan?limit=100&fields={FIELDS},segments"
decode = msgspec.json.Decoder().decode
path = sys.argv[1]

with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 as one would write it
    rows = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n")
    rows.writerow(HEADERS)
    page = first
    while page:
        connection.request("GET", page, headers=headers)
        answer = decode(connection.getresponse().read())
        for person in answer["data"]:
            get = person.get
            rows.writerow((
                get("email"), get("first_name"), get("last_name"), get("zip"), get("country"),
                get("language"), get("birthday"), get("loyalty_tier"), get("last_visit_ts"),
                get("scores", {}).get("momentum"), ",".join(get("segments", ())),
            ))  # fmt: skip
        cursor = answer.get("_next")
        page = f"{first}&start={cursor}" if cursor else ""

client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 as one would write it
client.connect(
    os.environ["TARGET_MAPP_SFTP_HOST"],
    int(os.environ["TARGET_MAPP_SFTP_PORT"]),
    os.environ["TARGET_MAPP_SFTP_USERNAME"],
    key_filename=os.environ["TARGET_MAPP_SFTP_PRIVATE_KEY_FILE"],
    look_for_keys=False,
    allow_agent=False,
)
with client, client.open_sftp() as sftp:
    sftp.put(path, os.path.basename(path))  # noqa: PTH119 as one would write it
