"""The migrations lead from nothing to exactly the tables that the code uses, on both databases."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from state.sql.migrate import Branch, upgrade
from state.sql.tables import metadata


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
    assert set(revisions) == {"0002_turn_events", "0001_customers", "0001_tickets"}


def test_a_database_for_tickets_alone_gets_no_other_table(empty_database: str) -> None:
    upgrade(empty_database, branches=(Branch.TICKETS,))

    engine = _sync(empty_database)
    assert set(sa.inspect(engine).get_table_names()) == {"tickets", "alembic_version"}
    engine.dispose()
