"""Writes what is said in more than one place: settings, plugin definitions and help texts.

The one source of the settings is `config_jsonschema` of the tap and of the target, that of the help
texts the commands. Meltano knows the plugins of this project by the lock files in `plugins/`, those
of another project by their `meltano-plugin.yml`; both are written here. `make docs` writes, a test
holds that nothing was left to write.
"""

from __future__ import annotations

import copy
import json
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import yaml

from export_scheduler.cli import main as export_scheduler
from export_scheduler.settings import Settings as SchedulerSettings
from sandbox.cli import main as sandbox
from tap_lytics.settings import SETTINGS as TAP_SETTINGS
from tap_lytics.tap import TapLytics
from target_mapp_sftp.contact_file.attributes import (
    FREE_PREFIXES,
    Attribute,
    row_schema,
    standard_attributes,
)
from target_mapp_sftp.settings import SETTINGS
from target_mapp_sftp.target import TargetMappSftp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import Field

ROOT = Path(__file__).resolve().parent.parent
MELTANO_KINDS = {
    "array": "array",
    "boolean": "boolean",
    "integer": "integer",
    "number": "decimal",
    "object": "object",
    "string": "string",
}

STREAM_MAPS = "[stream maps](https://sdk.meltano.com/en/latest/stream_maps.html) and flattening"
HELP_WIDTH = 100
VARIANT = "lytics-to-mapp"
"""What Meltano calls a definition of one's own, as it names the maker of a plugin of its hub."""
PLACE = "$LYTICS_TO_MAPP"
"""The variable by which another project says where this checkout, or its repository, is."""

SHOWN_MEASURES = ("`meltano run`", "pipe", "peak memory", "`concurrency: auto` against")
"""How the measures begin that the README shows."""

Setting = dict[str, Any]
DECLARED = {TapLytics: TAP_SETTINGS, TargetMappSftp: SETTINGS}


def settings_of(plugin: type[TapLytics | TargetMappSftp]) -> Mapping[str, Setting]:
    """All settings of a plugin by name, the SDK's own included."""
    schema = copy.deepcopy(plugin.config_jsonschema)
    plugin.append_builtin_config(schema)
    properties: Mapping[str, Setting] = schema["properties"]
    return properties


def settings_table(plugin: type[TapLytics | TargetMappSftp]) -> str:
    """The plugin's own settings as a Markdown table, those of the SDK in its last row."""
    # Not of the plugin: once a tap or target has run, its schema holds the SDK's settings too.
    declared = DECLARED[plugin].to_dict()
    required, own = declared.get("required", []), declared["properties"]
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, setting in own.items():
        marks = [
            *(["required"] if name in required else []),
            *(["secret"] if setting.get("secret") else []),
        ]
        label = f"`{name}`" + (f" ({', '.join(marks)})" if marks else "")
        rows.append(f"| {label} | {_default(setting)} | {_one_line(setting)} |")
    others = ", ".join(f"`{name}`" for name in settings_of(plugin) if name not in own)
    rows.append(f"| {others} |  | The Singer SDK's: {STREAM_MAPS} |")
    return "\n".join(rows)


class Plugin(NamedTuple):
    """What Meltano has to know of a plugin.

    Attributes:
        name: Its name.
        kind: Meltano's kind.
        folder: Where its package is in this checkout, with the extras that are to be installed.
        facts: What else stands in its definition.
    """

    name: str
    kind: str
    folder: str
    facts: Mapping[str, Any]

    @property
    def lock_file(self) -> str:
        """Where Meltano looks for its definition."""
        return f"plugins/{self.kind}/{self.name}--{VARIANT}.lock"

    @property
    def namespace(self) -> str:
        """Its name as Python writes it."""
        return self.name.replace("-", "_")

    def lock(self) -> str:
        """The definition by which Meltano knows it in this project."""
        facts = {
            "plugin_type": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "variant": VARIANT,
            "pip_url": f"-e $MELTANO_PROJECT_ROOT/{self.folder}",
            **self.facts,
        }
        return f"{json.dumps(facts, indent=2, ensure_ascii=False)}\n"

    def reference(self) -> str:
        """The definition as `meltano add --from-ref` takes it into another project."""
        facts = {
            "plugin_type": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            **({"repo": repository()} if repository() else {}),
            "pip_url": f"{PLACE}/{self.name}",
            **self.facts,
        }
        text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
        return f"# Written by `make docs`.\n{text}"


def singer_facts(
    plugin: type[TapLytics | TargetMappSftp],
    label: str,
    groups: list[list[str]],
    commands: Mapping[str, tuple[str, str]],
) -> Mapping[str, Any]:
    """The definition of the tap or of the target.

    Args:
        plugin: Its class, which knows its settings and capabilities.
        label: What Meltano shows.
        groups: Settings that are enough together.
        commands: Options and a description for each command of `meltano invoke`.
    """
    return {
        "label": label,
        "executable": plugin.name,
        "capabilities": sorted(each.value for each in plugin.capabilities),
        "settings": meltano_settings(plugin),
        "settings_group_validation": groups,
        "commands": {
            name: {"args": args, "description": description}
            for name, (args, description) in commands.items()
        },
    }


def meltano_settings(plugin: type[TapLytics | TargetMappSftp]) -> list[Setting]:
    """The settings as Meltano's own list."""
    settings = []
    for name, setting in settings_of(plugin).items():
        facts: Setting = {"name": name, "kind": _kind(setting)}
        if setting.get("secret"):
            facts["sensitive"] = True
        if setting.get("default") not in (None, {}, []):
            facts["value"] = setting["default"]
        facts["label"] = setting.get("title") or name.replace("_", " ").capitalize()
        facts["description"] = _one_line(setting)
        settings.append(facts)
    return settings


def _kind(setting: Setting) -> str:
    kinds = setting.get("type", "string")
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if {"array", "object"} <= {*kinds}:
        # Meltano parses a variable as one kind only. It leaves a `file` to the plugin, and writes
        # lists and objects as JSON; those of a `string` it would write as Python.
        return "file"
    return MELTANO_KINDS["string" if "string" in kinds else kinds[0]]


def _default(setting: Setting) -> str:
    default = setting.get("default")
    if default is None:
        return ""
    is_plain = isinstance(default, str) and "\n" not in default
    return f"`{default}`" if is_plain else f"`{json.dumps(default)}`"


def _one_line(setting: Setting) -> str:
    return " ".join(setting.get("description", "").split())


def help_text(command: click.Command, name: str) -> str:
    """What `NAME --help` prints, and the help of its own commands below, as a block of Markdown."""
    context = click.Context(command, info_name=name, terminal_width=HELP_WIDTH)
    texts = [command.get_help(context)]
    if isinstance(command, click.Group):
        for each in command.commands.values():
            own = click.Context(each, context, each.name, terminal_width=HELP_WIDTH)
            texts.append(each.get_help(own))
    return "\n".join(["```", "\n\n".join(texts), "```"])


def attributes_table() -> str:
    """The attributes as a Markdown table: header, meaning, rule."""
    rows = ["| header | meaning | what is checked |", "|---|---|---|"]
    for attribute in (*standard_attributes().values(), *_free_attributes()):
        mark = " (identifies)" if attribute.identifies else ""
        meaning = ": ".join(
            text
            for text in (attribute.rules["title"], attribute.rules.get("description"))
            if text is not None
        )
        rows.append(f"| `{attribute.header}`{mark} | {meaning} | {_rule_text(attribute)} |")
    return "\n".join(rows)


def _free_attributes() -> list[Attribute]:
    rules = row_schema()["patternProperties"].values()
    return [
        Attribute(f"{prefix}X", rule) for prefix, rule in zip(FREE_PREFIXES, rules, strict=True)
    ]


def _rule_text(attribute: Attribute) -> str:
    """What a value must be, in words."""
    rules = attribute.rules
    few_values = len(rules.get("enum", ())) <= 5  # noqa: PLR2004 more would fill the table
    words = [
        *(["the pattern Mapp publishes"] if attribute.header == "user.Email" else []),
        *(["digits"] if "pattern" in rules and attribute.header != "user.Email" else []),
        *(
            [" or ".join(f"`{value}`" for value in rules["enum"])]
            if few_values and "enum" in rules
            else []
        ),
        *([f"one of {len(rules['enum'])} codes"] if not few_values else []),
        *(
            {"date": ["a date that exists"], "iana-time-zone": ["a known zone"]}.get(
                rules.get("format", ""), []
            )
        ),
        *([f"at most {attribute.max_length} characters"] if attribute.max_length else []),
        *([rules["x-caution"]] if "x-caution" in rules else []),
    ]
    return "; ".join(words)


def measured_ratios() -> str:
    """What `make bench` measured of whole exports, without the aims."""
    page = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = {row[0]: row[1] for row in cells if row[0].startswith(SHOWN_MEASURES)}
    rows = [f"| {measure} | {ratio} |" for measure, ratio in shown.items()]
    return "\n".join(["| measured | median (range) |", "|---|---|", *rows])


def repository() -> str:
    """The address of the repository; empty while it has none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    address: str = project["tool"]["lytics-to-mapp"]["repository"]
    return address.rstrip("/")


def package_addresses(address: str) -> str:
    """The lines of `project.urls` that an index shows with a package."""
    pages = {
        "Homepage": "",
        "Source": "",
        "Documentation": "#readme",
        "Changelog": "/blob/main/CHANGELOG.md",
        "Issues": "/issues",
    }
    lines = [f'"{name}" = "{address}{path}"' for name, path in pages.items()]
    return "\n".join(lines) if address else ""


def pages_address(address: str) -> str:
    """The line by which each page shows where the source is."""
    return f'repo_url = "{address}"' if address else ""


PARTS: Mapping[str, Callable[[], str]] = {
    "measured ratios": measured_ratios,
    "settings of tap-lytics": lambda: settings_table(TapLytics),
    "settings of target-mapp-sftp": lambda: settings_table(TargetMappSftp),
    "Mapp's attributes": attributes_table,
    "help of tap-lytics": lambda: help_text(TapLytics.get_singer_command(), "tap-lytics"),
    "help of target-mapp-sftp": lambda: help_text(
        TargetMappSftp.get_singer_command(), "target-mapp-sftp"
    ),
    "help of the scheduler": lambda: help_text(export_scheduler, "scheduler"),
    "help of the sandbox": lambda: help_text(sandbox, "sandbox"),
    "address of the package": lambda: package_addresses(repository()),
    "address of the pages": lambda: pages_address(repository()),
}
FILES = (
    "orchestrate/scheduler/pyproject.toml",
    "README.md",
    "docs/field-to-value.md",
    "docs/schedules.md",
    "sandbox/README.md",
    "sandbox/pyproject.toml",
    "tap-lytics/README.md",
    "tap-lytics/pyproject.toml",
    "target-mapp-sftp/README.md",
    "target-mapp-sftp/pyproject.toml",
    "zensical.toml",
)
CHECK = "--config ENV --check"


def scheduler_setting(declared: Field[Any]) -> dict[str, Any]:
    """A setting of the scheduler, as Meltano's lock file has it."""
    label = declared.name.replace("_", " ").capitalize()
    return {
        "name": declared.name,
        "kind": "integer" if isinstance(declared.default, int) else "string",
        **({"value": declared.default} if declared.default != "" else {}),
        **({"sensitive": True} if declared.metadata["secret"] else {}),
        "label": label.replace("Smtp", "SMTP").replace(" url", " URL"),
        "description": declared.metadata["text"],
    }


PLUGINS = (
    Plugin(
        "tap-lytics",
        "extractors",
        "tap-lytics",
        singer_facts(
            TapLytics,
            "Lytics",
            [["api_token"]],
            # `meltano test` runs the command of this name of both plugins.
            {
                "test": ("--config ENV --test", "Test the token, the audiences and the fields."),
                "suggest-map": (
                    "--config ENV --suggest-map",
                    "Print a field map for your account, to start from.",
                ),
            },
        ),
    ),
    Plugin(
        "target-mapp-sftp",
        "loaders",
        "target-mapp-sftp[phone]",
        singer_facts(
            TargetMappSftp,
            "Mapp Engage (SFTP)",
            [["field_map", "host", "username"], ["field_map", "output_dir"]],
            {
                "check": (CHECK, "Test the connection to the folder, with a test file."),
                "test": (CHECK, "The same, for `meltano test`."),
                "deliver": (
                    "--config ENV --deliver",
                    "Send files again that `keep_delivered_days` has kept.",
                ),
            },
        ),
    ),
    Plugin(
        "scheduler",
        "utilities",
        "orchestrate/scheduler",
        {
            "label": "Scheduler",
            "executable": "export-scheduler",
            "settings": [scheduler_setting(each) for each in fields(SchedulerSettings)],
        },
    ),
)
WRITTEN: Mapping[str, Callable[[], str]] = {
    **{plugin.lock_file: plugin.lock for plugin in PLUGINS},
    **{
        f"{plugin.name}/meltano-plugin.yml": plugin.reference
        for plugin in PLUGINS
        if plugin.kind != "utilities"
    },
}


def filled(text: str) -> str:
    """*text* with every generated part written anew.

    A part stands between `<!-- made from: NAME -->` and `<!-- end -->`, in TOML between comments.
    """
    for name, make in PARTS.items():
        for start, end in (
            (f"<!-- made from: {name} -->\n", "<!-- end -->\n"),
            (f"# made from: {name}\n", "# end\n"),
        ):
            before, found, rest = text.partition(start)
            if found:
                _, found_end, after = rest.partition(end)
                made = make()
                part = f"{made}\n" if made else ""
                text = f"{before}{start}{part}{found_end}{after}"
    return text


def main() -> None:
    """Write every file that has generated parts, and those that are generated whole."""
    for name in FILES:
        path = ROOT / name
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
    for name, make in WRITTEN.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
