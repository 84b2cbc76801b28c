"""Typer commands with conventional help, and the group that holds them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "CommandGroup"]


class Command(TyperCommand):
    """A command whose help shows an argument as its metavar alone.

    Typer appends the type, as in ``MODEL <path>``, and writes required arguments in braces.
    """

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002 (Typer's signature)
        """Return the parts of the usage line, such as ``[OPTIONS]`` and ``[MODEL]...``."""
        arguments = [param for param in self.params if param.param_type_name == "argument"]
        return [self.options_metavar or "", *map(_usage, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections with the arguments and the options."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            if param.param_type_name == "argument":
                sections["Arguments"].append((_name(param), getattr(param, "help", None) or ""))
            else:
                sections["Options"].append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _usage(argument: Any) -> str:
    name = _name(argument) if argument.required else f"[{_name(argument)}]"
    return name if argument.nargs == 1 else f"{name}..."


class CommandGroup(TyperGroup):
    """A group in which the name of a command may have two words, such as ``bench compare``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Join the first two words if they name a command together."""
        two_words = " ".join(args[:2])
        if two_words in self.commands:
            args = [two_words, *args[2:]]
        return super().parse_args(ctx, args)
