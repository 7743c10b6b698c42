"""The command line: one module per command, put together here. `careline` and `python -m agent` are the same."""

import typer

from agent.cli import chat, demo, ingest, migrate, replay, serve, state

app = typer.Typer(
    name="careline",
    help="A customer-support agent that keeps answering when its dependencies fail, and loses nothing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.command("chat")(chat.chat)
app.command("ingest")(ingest.ingest)
app.command("replay")(replay.replay_logs)
app.command("migrate")(migrate.migrate)
app.add_typer(state.app, name="state")


def main() -> None:
    app()
