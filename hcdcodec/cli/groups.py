"""Help that people can read: options in named groups, and examples at the end."""

import enum
from functools import partial
from typing import Any

import click


class Group(enum.StrEnum):
    """The headings of `--help`, in this order."""

    COMMON = "Common"
    QUALITY = "Quality and size"
    FILES = "Which files"
    SAFETY = "Safety"
    MACHINE = "Machine"
    RESEARCH = "Research"


class GroupedOption(click.Option):
    """An option that stands under a heading."""

    def __init__(self, *given: Any, group: Group = Group.COMMON, **named: Any) -> None:
        super().__init__(*given, **named)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets: the default, without parentheses; the range stands in the text."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        if "default" in extra:
            extra["default"] = extra["default"].strip("()")
        return extra


def options_by_group(ctx: click.Context) -> dict[Group, list[tuple[str, str]]]:
    """Return the names and the help of a command's options, under their headings."""
    groups: dict[Group, list[tuple[str, str]]] = {group: [] for group in Group}
    for parameter in ctx.command.get_params(ctx):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None:
            groups[getattr(parameter, "group", Group.COMMON)].append(record)
    return groups


class Examples(click.Command):
    """A command whose help has its options in groups and ends with examples, kept as they are written."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups = options_by_group(ctx)
        # click lays out each list by itself; names filled up to one width keep all lists in two straight columns
        width = max((len(names) for records in groups.values() for names, _ in records if len(names) < 29), default=0)
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl([(names.ljust(width), text) for names, text in records])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                # click would wrap the lines of an epilog into one paragraph.
                for line in self.epilog.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


class Workflow(click.Group):
    """A group that lists its commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


option = partial(click.option, cls=GroupedOption, show_default=True)
