"""Run by alembic inside the program, on the connection that :func:`core.library.db.migrate` hands over."""

from alembic import context

from core.library.tables import Base

connection = context.config.attributes["connection"]
# SQLite cannot alter most of a table: batch mode copies it instead.
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can, once the driver does not begin and commit on its own
)
with context.begin_transaction():
    context.run_migrations()
