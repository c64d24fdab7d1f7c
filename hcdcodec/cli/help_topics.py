"""help: pages to read, from the installed package."""

from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from hcdcodec.cli import output
from hcdcodec.errors import UsageError

PAGES = Path(__file__).resolve().parents[1] / "docs"


def complete_topics(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the pages and commands that begin so."""
    group = ctx.find_root().command
    commands = list(group.commands) if isinstance(group, click.Group) else []
    return [CompletionItem(name) for name in (*_pages(), *commands) if name.startswith(incomplete)]


@click.command("help")
@click.argument("topic", nargs=-1, shell_complete=complete_topics)
@click.pass_context
def help_topic(ctx: click.Context, topic: tuple[str, ...]) -> None:
    """Show a page to read, or the help of a command.

    Without TOPIC, it lists the pages.
    """
    pages = _pages()
    if not topic:
        listed = "\n".join(f"  {name:12} {title}" for name, title in pages.items())
        output.write(f"Pages, shown by 'hcdcodec help PAGE':\n\n{listed}\n\n'hcdcodec --help' lists the commands.")
    elif topic[0] in pages and len(topic) == 1:
        output.write((PAGES / f"{topic[0]}.md").read_text(encoding="utf-8").rstrip())
    else:
        output.write(_help_of(ctx.find_root(), topic))


def _pages() -> dict[str, str]:
    """Return the title of each page by its name."""
    return {path.stem: _title(path) for path in sorted(PAGES.glob("*.md"))}


def _title(page: Path) -> str:
    with page.open(encoding="utf-8") as lines:
        return next(lines).lstrip("# ").rstrip()


def _help_of(ctx: click.Context, names: Sequence[str]) -> str:
    """Return what `hcdcodec NAMES --help` says.

    Raises:
        UsageError: there is no such command.
    """
    for name in names:
        command = ctx.command.get_command(ctx, name) if isinstance(ctx.command, click.Group) else None
        if command is None:
            raise UsageError(f"there is no page or command {' '.join(names)!r}; 'hcdcodec help' lists the pages")
        ctx = click.Context(command, ctx, name)
    return ctx.get_help()
