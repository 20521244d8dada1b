"""How much memory the tap needs for one and a half million people."""

from __future__ import annotations

from read_sandbox import read_sandbox

PEOPLE = 1_500_000
AIM_MEGABYTES = 200


def main() -> None:
    """Measure, with keys and in the costlier case of profiles without any."""
    with read_sandbox(PEOPLE) as box:
        print("profiles with _id:", box.read())
        box.set_faults(without_id=True)
        print("profiles without _id:", box.read())
    print(f"the aim is {AIM_MEGABYTES} MB")


if __name__ == "__main__":
    main()
