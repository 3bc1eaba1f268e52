"""The directive ``.. commands::``: every command of ``barker``, with its options, from click itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from barker.cli import main


class Commands(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        """What the page gets."""
        return [self._section(context) for context in _leaves(click.Context(main, info_name="barker"))]

    def _section(self, context: click.Context) -> nodes.section:
        command, path = context.command, context.command_path
        section = nodes.section(ids=[nodes.make_id(path)])
        section += nodes.title(text=path)
        for paragraph in (command.help or "").split("\n\n"):
            section += nodes.paragraph(text=" ".join(paragraph.split()))
        usage = " ".join(command.collect_usage_pieces(context))
        section += nodes.literal_block(text=f"{path} {usage}", language="text")
        listed = nodes.definition_list(classes=["options"])
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                listed += _item(*record)
        section += listed
        self.state.document.note_implicit_target(section)
        return section


def _leaves(context: click.Context) -> Iterator[click.Context]:
    """The contexts of all commands that have none below them, in the order in which help lists them."""
    if not isinstance(context.command, click.Group):
        yield context
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        yield from _leaves(click.Context(command, info_name=name, parent=context))


def _item(option: str, text: str) -> nodes.definition_list_item:
    term = nodes.term("", "", nodes.literal(text=option))
    return nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph(text=text)))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
