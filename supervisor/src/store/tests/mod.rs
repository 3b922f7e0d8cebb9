//! How databases behave, on SQLite always and on PostgreSQL where `ESSAIM_TEST_POSTGRES` names a server.

mod paused;
