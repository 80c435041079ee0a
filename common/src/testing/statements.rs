//! What a store asks its database, and how the database goes about it: for indexes that are promised.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::{DbBackend, Statement};

use crate::db::Db;

/// The statements a [`Db`] ran, oldest first.
#[derive(Clone, Default)]
pub struct Statements(Arc<Mutex<Vec<Statement>>>);

impl Statements {
    /// Notes what `db` and its later clones run from now on.
    pub fn of(db: &mut Db) -> Self {
        let statements = Self::default();
        let noted = statements.0.clone();
        db.on_statement(move |statement| {
            noted.lock().unwrap_or_else(PoisonError::into_inner).push(statement.clone());
        });
        statements
    }

    /// What was run since this was last asked.
    pub fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks that the last statement with `part` in it is answered through `index`, by the plan that `db` would follow now.
    ///
    /// # Panics
    /// When it is not, or no statement has this part.
    pub async fn assert_uses(&self, db: &Db, part: &str, index: &str) {
        let run = self.take();
        let statement = run.iter().rfind(|statement| statement.sql.contains(part));
        let statement = statement.unwrap_or_else(|| panic!("no statement has {part:?} in it: {run:#?}"));
        let plan = plan(db, statement).await;
        assert!(plan.contains(index), "{index} is not used by\n{}\nbut\n{plan}", statement.sql);
    }
}

/// How the database would go about a statement, a line each step.
async fn plan(db: &Db, statement: &Statement) -> String {
    let (explain, column) = match db.backend() {
        DbBackend::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
        DbBackend::Postgres | DbBackend::MySql | _ => ("EXPLAIN", "QUERY PLAN"),
    };
    let values = statement.values.clone().map(|values| values.0).unwrap_or_default();
    let rows = db.query(db.reader(), format!("{explain} {}", statement.sql), values).await;
    let rows = rows.unwrap_or_else(|error| panic!("{}: {error}", statement.sql));
    let line = |row: &sea_orm::QueryResult| row.try_get::<String>("", column).expect("a line of a plan");
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
