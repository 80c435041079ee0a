-- The databases of Eventix and who may do what in them; run by an administrator, as often as you like:
--
--   psql postgres://admin@host/postgres -f deploy/postgres/roles.sql
--
-- For catalog, booking, payment and the simulated provider's ledger, each apart from the others: a database
-- eventix_<service>_db, its owner eventix_<service>_owner (`eventix migrate` connects as him, to change the schema), and
-- eventix_<service>_app (the service connects as it: it reads and writes rows, and can change no table).
-- Passwords come from EVENTIX_<SERVICE>_OWNER_PASSWORD and EVENTIX_<SERVICE>_APP_PASSWORD in the environment of psql; a role
-- whose variable is not set has none. Another first word of all names: -v prefix=other.
\set ON_ERROR_STOP on
\if :{?prefix}
\else
  \set prefix eventix
\endif
\set administration :DBNAME

\set service catalog
\unset owner_password
\unset app_password
\getenv owner_password EVENTIX_CATALOG_OWNER_PASSWORD
\getenv app_password EVENTIX_CATALOG_APP_PASSWORD
\ir service.sql

\set service booking
\unset owner_password
\unset app_password
\getenv owner_password EVENTIX_BOOKING_OWNER_PASSWORD
\getenv app_password EVENTIX_BOOKING_APP_PASSWORD
\ir service.sql

\set service payment
\unset owner_password
\unset app_password
\getenv owner_password EVENTIX_PAYMENT_OWNER_PASSWORD
\getenv app_password EVENTIX_PAYMENT_APP_PASSWORD
\ir service.sql

\set service provider
\unset owner_password
\unset app_password
\getenv owner_password EVENTIX_PROVIDER_OWNER_PASSWORD
\getenv app_password EVENTIX_PROVIDER_APP_PASSWORD
\ir service.sql
