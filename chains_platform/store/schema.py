"""The tables. Values with a structure of their own are JSON text."""

from typing import Final

from sqlalchemy import Boolean, Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

SCHEMA_VERSION: Final = 1
"""Raised with every change of a table; a store of another version is refused."""

metadata: Final = MetaData()

meta = Table("meta", metadata, Column("name", String(64), primary_key=True), Column("value", Text))

chains = Table(
    "chains",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("created_at", Float, nullable=False),
)

packages = Table(
    "packages",
    metadata,
    # of the manifest, not of the files: equal files may ask for different environments
    Column("key", String(64), primary_key=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("manifest", Text, nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("chain", String(256), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("entrypoint", String(256), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("version", Integer, nullable=False),
    Column("is_live", Boolean, nullable=False),
    Column("name", String(64)),
    Column("environment", String(64)),
    Column("allow_missing", Text, nullable=False),
    Column("user_root", Text, nullable=False),
    Column("diagnostics", Text, nullable=False),
    Column("edges", Text, nullable=False),
)

deployment_chainlets = Table(
    "deployment_chainlets",
    metadata,
    Column("deployment", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("display_name", String(256), nullable=False),
    Column("package", String(64), nullable=False, index=True),
)

deployment_sets = Table(
    "deployment_sets",
    metadata,
    Column("deployment", String(64), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("set_id", String(64), nullable=False, index=True),
    Column("display_name", String(256), nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer),
)

deployment_versions = Table(
    "deployment_versions",
    metadata,
    Column("deployment", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("entrypoint", String(256), nullable=False),
    Column("restores", Integer),
    # keys of `packages`, in order
    Column("packages", Text, nullable=False),
)

replica_sets = Table(
    "replica_sets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("chain", String(256), nullable=False),
    Column("package", String(64), nullable=False),
    Column("settings", String(64), nullable=False),
    Column("deployment", String(64), nullable=False),
    Column("owner", String(64)),
    Column("since", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("is_established", Boolean, nullable=False),
    Column("environment", String(64)),
    Column("user_root", Text, nullable=False),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("set_id", String(64), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("package_digest", String(64), nullable=False),
    Column("pid", Integer),
    Column("process_started", Float, nullable=False),
    Column("address", Text, nullable=False),
    Column("started_at", Float),
    Column("restarts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("load_count", Integer, nullable=False),
    Column("retry_at", Float),
    Column("diagnostics", Text, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("key", String(321), primary_key=True),
    Column("chain", String(256), nullable=False),
    Column("name", String(64), nullable=False),
    Column("left_deployment", String(64)),
)

environment_moves = Table(
    "environment_moves",
    metadata,
    Column("environment", String(321), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("deployment", String(64), nullable=False),
    Column("at", Float, nullable=False),
)

log_sources = Table(
    "log_sources",
    metadata,
    Column("replica_id", String(64), primary_key=True),
    Column("set_id", String(64), nullable=False),
    Column("chain", String(256), nullable=False),
    Column("display_name", String(256), nullable=False),
    Column("deployments", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("chain", String(256), nullable=False, index=True),
    Column("deployment", String(64), index=True),
    Column("chainlet", String(256)),
    Column("message", Text, nullable=False),
    Column("data", Text, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("updated_at", Float, nullable=False),
)

__all__ = [
    "SCHEMA_VERSION",
    "chains",
    "deployment_chainlets",
    "deployment_sets",
    "deployment_versions",
    "deployments",
    "environment_moves",
    "environments",
    "events",
    "log_sources",
    "meta",
    "metadata",
    "packages",
    "replica_sets",
    "replicas",
    "secrets",
]
