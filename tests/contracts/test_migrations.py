"""The migrations lead from nothing to exactly the tables that the code uses, on both databases."""

import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from alembic import command
from state.sql.control_tables import metadata
from state.sql.migrate import Branch, newest, scripts, upgrade


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest) -> str:
    name = "sqlite_url" if request.param == "sqlite" else "postgres_database"
    url: str = request.getfixturevalue(name)
    return url


def _sync(url: str) -> sa.Engine:
    return sa.create_engine(url.replace("+aiosqlite", ""), poolclass=sa.NullPool)


def test_an_empty_database_is_brought_to_the_tables_of_the_code(empty_database: str) -> None:
    upgrade(empty_database)

    with _sync(empty_database).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_changes_nothing(empty_database: str) -> None:
    upgrade(empty_database)
    upgrade(empty_database)

    with _sync(empty_database).connect() as connection:
        revisions = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars().all()
    assert set(revisions) == {"0010_served_deployments", "0001_customers", "0001_tickets"}


def test_effects_of_an_older_version_count_from_the_upgrade(empty_database: str) -> None:
    engine = _sync(empty_database)
    began = time.time()
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(scripts()))
        config.attributes["connection"] = connection
        command.upgrade(config, "0007_knowledge_versions")
        connection.execute(
            sa.text(
                "INSERT INTO effects (tenant, key, turn_id, step, tool, status, record) "
                "VALUES ('default', 'k', 't', 1, 'notify', 'confirmed', :record)"
            ),
            {"record": b"\x80"},
        )
        connection.commit()

    upgrade(empty_database)

    with engine.connect() as connection:
        at = connection.execute(sa.text("SELECT at FROM effects")).scalar_one()
    engine.dispose()
    assert began <= at / 1_000_000 <= time.time()


def test_a_database_for_tickets_alone_gets_no_other_table(empty_database: str) -> None:
    upgrade(empty_database, branches=(Branch.TICKETS,))

    engine = _sync(empty_database)
    assert set(sa.inspect(engine).get_table_names()) == {"tickets", "alembic_version"}
    engine.dispose()


def test_the_newest_revisions_are_those_that_the_migrations_library_knows() -> None:
    known = ScriptDirectory(str(scripts()))

    for branch in Branch:
        assert newest([branch]) == {each.revision for each in known.get_revisions(f"{branch}@head")}
