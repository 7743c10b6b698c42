"""The command line: one module per command, put together here. `careline` and `python -m agent` are the same."""

import typer

from agent.cli import (
    addresses,
    chat,
    demo,
    deploy,
    doctor,
    explain,
    export,
    flows,
    handoff,
    import_log,
    ingest,
    intents,
    knowledge,
    mcp,
    migrate,
    outbox,
    replay,
    replay_gate,
    serve,
    state,
    worker,
)

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
app.command("replay-compare")(replay_gate.replay_compare)
app.command("replay-report")(replay_gate.replay_report)
app.command("deploy")(deploy.deploy)
app.command("import-log")(import_log.import_log)
app.command("export")(export.export)
app.command("reveal")(export.reveal)
app.command("worker")(worker.worker)
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.command("migrate")(migrate.migrate)
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(intents.app, name="intents")
app.add_typer(outbox.app, name="outbox")
app.add_typer(handoff.app, name="handoff")
app.add_typer(state.app, name="state")
app.add_typer(mcp.app, name="mcp")
app.add_typer(addresses.app, name="addresses")
app.add_typer(flows.app, name="flows")


def main() -> None:
    app()
