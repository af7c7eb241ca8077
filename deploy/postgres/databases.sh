#!/bin/sh
# Makes a database and a user for each service. PostgreSQL's image runs this once, when its volume is empty.
set -eu
make_database() {
    psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set "name=$1" --set "password=$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}
make_database fct "$FCT_DB_PASSWORD"
make_database mlflow "$FCT_MLFLOW_DB_PASSWORD"
make_database prefect "$FCT_PREFECT_DB_PASSWORD"
