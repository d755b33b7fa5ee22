"""the first tables

Revision: 0001, after None
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("cpus_m", sa.BigInteger(), nullable=False),
        sa.Column("mem", sa.BigInteger(), nullable=False),
        sa.Column("disk", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.BigInteger(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
    )
    op.create_table(
        "framework",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("framework_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_framework")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_at", "idempotency_keys", ["at"])

    op.create_table(
        "image_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("image_id", sa.Text(), nullable=True),
        sa.Column("context", sa.Text(), nullable=True),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("swath_manifest", sa.JSON(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_versions")),
        sa.UniqueConstraint("name", "version", "digest", name=op.f("uq_image_versions_name_version_digest")),
    )
    op.create_table(
        "leadership",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leadership")),
    )
    op.create_table(
        "scheduler_status",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("connected", sa.Boolean(), nullable=False),
        sa.Column("master", sa.Text(), nullable=True),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduler_status")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("image_version_id", sa.Integer(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("cpus_m", sa.BigInteger(), nullable=False),
        sa.Column("mem", sa.BigInteger(), nullable=False),
        sa.Column("disk", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("desired", sa.String(length=16), nullable=False),
        sa.Column("desired_rev", sa.Integer(), nullable=False),
        sa.Column("observed_rev", sa.Integer(), nullable=False),
        sa.Column("retry_rev", sa.Integer(), nullable=False),
        sa.Column("retry_rev_done", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pending", sa.JSON(), nullable=False),
        sa.Column("pending_count", sa.Integer(), nullable=False),
        sa.Column("active_count", sa.Integer(), nullable=False),
        sa.Column("succeeded_count", sa.Integer(), nullable=False),
        sa.Column("failed_count", sa.Integer(), nullable=False),
        sa.Column("cancelled_count", sa.Integer(), nullable=False),
        sa.Column("wait_reason", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["image_version_id"], ["image_versions.id"], name=op.f("fk_jobs_image_version_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_changed",
        "jobs",
        ["id"],
        postgresql_where=sa.text("desired_rev <> observed_rev"),
        sqlite_where=sa.text("desired_rev <> observed_rev"),
    )
    op.create_index("ix_jobs_image_version_id_id", "jobs", ["image_version_id", "id"])
    op.create_index("ix_jobs_name_id", "jobs", ["name", "id"])
    op.create_index("ix_jobs_project_id", "jobs", ["project", "id"])
    op.create_index("ix_jobs_state_id", "jobs", ["state", "id"])
    op.create_index("ix_jobs_user_id", "jobs", ["user", "id"])

    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("task_index", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("slot_id", sa.Text(), nullable=False),
        sa.Column("executor_id", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("hostname", sa.Text(), nullable=False),
        sa.Column("cpus_m", sa.BigInteger(), nullable=False),
        sa.Column("mem", sa.BigInteger(), nullable=False),
        sa.Column("disk", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.BigInteger(), nullable=False),
        sa.Column("sandbox", sa.Text(), nullable=True),
        sa.Column("runtime", sa.Text(), nullable=True),
        sa.Column("output_dir", sa.Text(), nullable=True),
        sa.Column("outputs", sa.JSON(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("cause", sa.String(length=16), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("launched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("job_id", "task_index", "number", name=op.f("uq_attempts_job_id_task_index_number")),
    )
    op.create_index(
        "ix_attempts_open",
        "attempts",
        ["id"],
        postgresql_where=sa.text("state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')"),
        sqlite_where=sa.text("state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')"),
    )

    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_id_id", "events", ["job_id", "id"])

    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("chunk", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_inputs_job_id")),
        sa.PrimaryKeyConstraint("job_id", "chunk", name=op.f("pk_job_inputs")),
    )
    op.create_table(
        "tasks",
        sa.Column("job_id", sa.String(length=26), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("free_retries", sa.Integer(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mem", sa.BigInteger(), nullable=True),
        sa.Column("winner_attempt", sa.String(length=26), nullable=True),
        sa.Column("cause", sa.String(length=16), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("agent_id", sa.Text(), nullable=True),
        sa.Column("hostname", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_tasks_job_id")),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_tasks")),
    )
    op.create_index("ix_tasks_job_id_state_index", "tasks", ["job_id", "state", "index"])
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["job_id", "index"],
        postgresql_where=sa.text("state IN ('PENDING', 'ACTIVE')"),
        sqlite_where=sa.text("state IN ('PENDING', 'ACTIVE')"),
    )


def downgrade() -> None:
    op.drop_index(
        "ix_tasks_open",
        "tasks",
        postgresql_where=sa.text("state IN ('PENDING', 'ACTIVE')"),
        sqlite_where=sa.text("state IN ('PENDING', 'ACTIVE')"),
    )
    op.drop_index("ix_tasks_job_id_state_index", "tasks")

    op.drop_table("tasks")
    op.drop_table("job_inputs")
    op.drop_index("ix_events_job_id_id", "events")

    op.drop_table("events")
    op.drop_index(
        "ix_attempts_open",
        "attempts",
        postgresql_where=sa.text("state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')"),
        sqlite_where=sa.text("state IN ('LAUNCHING', 'STAGING', 'RUNNING', 'KILLING', 'UNREACHABLE')"),
    )

    op.drop_table("attempts")
    op.drop_index("ix_jobs_user_id", "jobs")
    op.drop_index("ix_jobs_state_id", "jobs")
    op.drop_index("ix_jobs_project_id", "jobs")
    op.drop_index("ix_jobs_name_id", "jobs")
    op.drop_index("ix_jobs_image_version_id_id", "jobs")
    op.drop_index(
        "ix_jobs_changed",
        "jobs",
        postgresql_where=sa.text("desired_rev <> observed_rev"),
        sqlite_where=sa.text("desired_rev <> observed_rev"),
    )

    op.drop_table("jobs")
    op.drop_table("scheduler_status")
    op.drop_table("leadership")
    op.drop_table("image_versions")
    op.drop_index("ix_idempotency_keys_at", "idempotency_keys")

    op.drop_table("idempotency_keys")
    op.drop_table("framework")
    op.drop_table("agents")
