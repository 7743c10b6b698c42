"""
Run the revisions on the connection that `state.sql.migrate` opened, in its transaction.
"""

from alembic import context
from state.sql.control_tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
